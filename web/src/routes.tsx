import type { RouteObject } from 'react-router';
import { ForPerson } from './components/ForPerson';
import { CrashPage, Layout } from './components/Layout';
import { AddPage } from './pages/AddPage';
import { DayPage } from './pages/DayPage';
import { NotFoundPage } from './pages/NotFoundPage';
import { PairPage } from './pages/PairPage';
import { PeoplePage } from './pages/PeoplePage';
import { PersonPage } from './pages/PersonPage';
import { RecordPage } from './pages/RecordPage';

/** Every view and its address. Only the map is loaded later: the rest is smaller than one round trip is long. */
export const routes: RouteObject[] = [
  {
    element: <Layout />,
    errorElement: <CrashPage />,
    children: [
      { path: '/', element: <PeoplePage /> },
      {
        path: '/people/:id',
        element: (
          <ForPerson>
            <PersonPage />
          </ForPerson>
        ),
      },
      {
        path: '/people/:id/with/:otherId',
        element: (
          <ForPerson>
            <PairPage />
          </ForPerson>
        ),
      },
      {
        path: '/people/:id/map',
        element: (
          <ForPerson>
            <DayPage />
          </ForPerson>
        ),
      },
      {
        path: '/people/:id/record',
        element: (
          <ForPerson>
            <RecordPage />
          </ForPerson>
        ),
      },
      { path: '/add', element: <AddPage /> },
      { path: '*', element: <NotFoundPage /> },
    ],
  },
];
