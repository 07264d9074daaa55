import '@testing-library/jest-dom/vitest';
import { cleanup, configure } from '@testing-library/react';
import { afterEach, beforeEach, vi } from 'vitest';
import { setConfig } from '../config';

// Machines are shared: what is waited for may take its time.
configure({ asyncUtilTimeout: 60_000 });

// What jsdom has no layout for. The list renders what fits a window of this size.
vi.stubGlobal(
  'ResizeObserver',
  class {
    observe() {
      // Nothing changes its size here.
    }
    unobserve() {
      // As above.
    }
    disconnect() {
      // As above.
    }
  },
);
vi.stubGlobal('matchMedia', () => ({ matches: true }));
vi.stubGlobal('scrollTo', () => undefined);

beforeEach(() => {
  localStorage.clear();
  setConfig({ api_url: 'http://api.test', time_zone: 'UTC' });
});

afterEach(() => {
  cleanup();
});
