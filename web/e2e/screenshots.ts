import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@playwright/test';
import { ROOT } from './programs';

const IMAGES = join(ROOT, 'docs', 'images');

const SIZES = [
  { name: 'phone', width: 390, height: 800, colorScheme: 'light' },
  { name: 'phone-dark', width: 390, height: 800, colorScheme: 'dark' },
  { name: 'desktop', width: 1180, height: 760, colorScheme: 'light' },
] as const;

/** Views whose dark side is shown, too. */
const DARK = new Set(['person', 'day']);

const api = async <T>(path: string): Promise<T> =>
  (await (await fetch(`${process.env.E2E_API_URL ?? ''}${path}`)).json()) as T;

for (const { name, width, height, colorScheme } of SIZES) {
  test.describe(name, () => {
    test.use({ viewport: { width, height }, colorScheme, isMobile: width < 600, hasTouch: width < 600 });

    test('pictures of the main views', async ({ page }) => {
      mkdirSync(IMAGES, { recursive: true });
      const met = await api<{ person: { id: number } }[]>(
        '/api/persons/1/connections?start_date=2026-06-01T06:00:00Z&end_date=2026-06-04T06:00:00Z&limit=1',
      );
      const other = met[0]?.person.id ?? 2;
      const views = [
        ['people', '/', 'a[href="/people/1"]'],
        ['person', '/people/1', '.virtual-list a'],
        ['pair', `/people/1/with/${other}`, '.map-point'],
        ['day', '/people/1/map?from=2026-06-02&tz=America%2FDenver&t=11:30', '.map-point'],
      ] as const;
      for (const [view, path, complete] of views) {
        if (colorScheme === 'dark' && !DARK.has(view)) continue;
        await page.goto(path);
        await expect(page.locator(complete).first()).toBeVisible();
        await page.waitForLoadState('networkidle');
        await page.screenshot({ path: join(IMAGES, `${view}-${name}.png`), scale: 'css', animations: 'disabled' });
      }
    });
  });
}
