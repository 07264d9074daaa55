import { QueryClientProvider } from '@tanstack/react-query';
import { render } from '@testing-library/react';
import { createMemoryRouter, RouterProvider } from 'react-router';
import { routes } from '../routes';
import { hastyClient } from './api';

/** The whole page at an address; the router tells where it is. */
export function open(address: string) {
  const router = createMemoryRouter(routes, { initialEntries: [address] });
  render(
    <QueryClientProvider client={hastyClient()}>
      <RouterProvider router={router} />
    </QueryClientProvider>,
  );
  return router;
}
