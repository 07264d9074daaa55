import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { test as base, expect, type Page } from '@playwright/test';

/** What `setup.ts` left for the tests. */
export function setting(name: 'E2E_API_URL' | 'E2E_DATABASE_URL' | 'E2E_BINARY'): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set; run the tests with npm run test:e2e`);
  return value;
}

/** Asks the API itself. */
export async function api<T>(path: string): Promise<T> {
  const response = await fetch(setting('E2E_API_URL') + path);
  if (!response.ok) throw new Error(`${path} answered ${response.status}: ${await response.text()}`);
  return (await response.json()) as T;
}

/** Tests fail when the page complains in the console, unless it says what it must complain about. */
export const test = base.extend<{ complaints: string[]; expected: RegExp | null }>({
  expected: [null, { option: true }],
  complaints: [
    async ({ page, expected }, use) => {
      const complaints: string[] = [];
      const note = (text: string) => {
        if (expected?.test(text) !== true) complaints.push(text);
      };
      page.on('console', (message) => {
        if (message.type() === 'error' || message.type() === 'warning') note(message.text());
      });
      page.on('pageerror', (error) => {
        note(String(error));
      });
      await use(complaints);
      expect(complaints).toEqual([]);
    },
    { auto: true },
  ],
});

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

interface Finding {
  id: string;
  impact: string | null;
  nodes: string[];
}

/** What axe finds against WCAG 2.2 A and AA, and against good practice; everything, not only what is serious. */
export async function audit(page: Page): Promise<Finding[]> {
  await page.evaluate(AXE);
  return page.evaluate(async () => {
    const { axe } = window as unknown as {
      axe: {
        run: (
          where: Document,
          how: unknown,
        ) => Promise<{ violations: { id: string; impact: string | null; nodes: { html: string }[] }[] }>;
      };
    };
    const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
    const { violations } = await axe.run(document, { runOnly: { type: 'tag', values: tags } });
    return violations.map(({ id, impact, nodes }) => ({ id, impact, nodes: nodes.map(({ html }) => html) }));
  });
}

/** Sums up layout shifts from before the first byte on; read with `layoutShift`. */
export async function watchLayout(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const store = window as unknown as { shifted: number };
    store.shifted = 0;
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries() as (PerformanceEntry & { value: number; hadRecentInput: boolean })[])
        if (!entry.hadRecentInput) store.shifted += entry.value;
    }).observe({ type: 'layout-shift', buffered: true });
  });
}

export async function layoutShift(page: Page): Promise<number> {
  return page.evaluate(() => (window as unknown as { shifted: number }).shifted);
}

export { expect };
