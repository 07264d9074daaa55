import { QueryClientProvider } from '@tanstack/react-query';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { createBrowserRouter, RouterProvider } from 'react-router';
import { makeQueryClient } from './api/queries';
import { ErrorState } from './components/states';
import { loadConfig } from './config';
import { applyTheme, savedTheme } from './lib/theme';
import { routes } from './routes';
import './styles/base.css';
import './styles/parts.css';
import './styles/controls.css';
import './styles/map.css';
import './styles/people.css';
import './styles/person.css';
import './styles/pair.css';
import './styles/day.css';
import './styles/widths.css';
import './styles/print.css';
import { text } from './text';

applyTheme(savedTheme());

const element = document.getElementById('root');
if (!element) throw new Error('index.html has no element #root');
const root = createRoot(element);

async function start() {
  try {
    await loadConfig();
  } catch {
    root.render(
      <main className="page">
        <ErrorState title={text.states.unreachable} help={text.states.unreachableHelp} onRetry={start} />
      </main>,
    );
    return;
  }
  root.render(
    <StrictMode>
      <QueryClientProvider client={makeQueryClient()}>
        <RouterProvider router={createBrowserRouter(routes)} />
      </QueryClientProvider>
    </StrictMode>,
  );
}

void start();

// A visitor who reloads without a network gets the page, which says so, and not the browser's own. Secure pages only.
if (import.meta.env.PROD && 'serviceWorker' in navigator) {
  window.addEventListener('load', () => {
    // Without it the page works as well while there is a network.
    navigator.serviceWorker.register('/sw.js').catch(() => undefined);
  });
}
