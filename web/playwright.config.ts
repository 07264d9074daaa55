import { defineConfig, devices } from '@playwright/test';
import { browserOptions } from './e2e/browser';

/** Browser tests against the real program; see e2e/setup.ts for what is started. */
export default defineConfig({
  testDir: 'e2e',
  testMatch: '*.spec.ts',
  globalSetup: './e2e/setup.ts',
  fullyParallel: true,
  workers: 2,
  forbidOnly: process.env.CI !== undefined,
  retries: 0,
  reporter: [['list']],
  // Machines are shared.
  timeout: 300_000,
  expect: { timeout: 120_000 },
  use: {
    ...(process.env.APP_URL === undefined ? {} : { baseURL: process.env.APP_URL }),
    launchOptions: browserOptions(),
    // Far from the event, so that a mix-up of time zones shows.
    timezoneId: 'Europe/Berlin',
    locale: 'en-GB',
    trace: 'retain-on-failure',
  },
  projects: [
    { name: 'phone', use: { ...devices['Pixel 7'] } },
    { name: 'desktop', use: { viewport: { width: 1280, height: 800 } } },
  ],
});
