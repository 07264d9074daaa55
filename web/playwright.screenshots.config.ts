import { defineConfig } from '@playwright/test';
import { browserOptions } from './e2e/browser';

// As many people as `make run` shows.
process.env.E2E_PERSONS ??= '300';

/** Makes the pictures in docs/images: `npm run screenshots`. */
export default defineConfig({
  testDir: 'e2e',
  testMatch: 'screenshots.ts',
  globalSetup: './e2e/setup.ts',
  workers: 1,
  reporter: [['list']],
  timeout: 300_000,
  expect: { timeout: 120_000 },
  use: {
    ...(process.env.APP_URL === undefined ? {} : { baseURL: process.env.APP_URL }),
    launchOptions: browserOptions(),
    timezoneId: 'America/Denver',
    locale: 'en-GB',
    reducedMotion: 'reduce',
  },
});
