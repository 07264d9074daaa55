import { existsSync } from 'node:fs';
import type { LaunchOptions } from '@playwright/test';

const USUAL = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** The browser of the distribution, quiet: it talks to nobody but the page's own servers. */
export function browserOptions(): LaunchOptions {
  const path = process.env.CHROMIUM ?? USUAL.find((candidate) => existsSync(candidate));
  return {
    ...(path === undefined ? {} : { executablePath: path }),
    args: [
      // Containers run as root, where the sandbox cannot.
      ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--no-first-run',
      '--disable-quic',
    ],
  };
}
