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

/** Sends something to the API itself. */
export async function send<T>(path: string, body: unknown): Promise<T> {
  const response = await fetch(setting('E2E_API_URL') + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${path} answered ${response.status}: ${await response.text()}`);
  return (await response.json()) as T;
}

/** Every view, and what is there when it is complete. */
export const VIEWS = [
  ['/', 'a[href="/people/1"]'],
  ['/?q=zzzzzz', '.state'],
  ['/people/1', '.virtual-list a'],
  ['/people/1/with/2', '.figures, .state'],
  ['/people/1/map', 'path.map-track'],
  ['/people/1/record', 'form'],
  ['/add', 'form'],
  ['/people/999999999', '.state'],
  ['/no/such/view', '.state'],
] as const;

/** The person with whom person 1 spent the most time. */
export async function best(): Promise<number> {
  const [first] = await api<{ person: { id: number } }[]>(
    '/api/persons/1/connections?start_date=2026-06-01T06:00:00Z&end_date=2026-06-04T06:00:00Z&limit=1',
  );
  if (!first) throw new Error('the demo event has no meetings');
  return first.person.id;
}

export { expect };
