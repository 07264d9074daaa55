import { inflateSync } from 'node:zlib';
import type { Page } from '@playwright/test';
import { best, expect, test } from './test';

/** How many letters and strokes are on each page of what would be printed. */
async function printed(page: Page): Promise<number[]> {
  const pdf = await page.pdf({ format: 'A4', printBackground: false });
  const raw = pdf.toString('latin1');
  const objects = new Map<string, string>();
  for (const [, number = '', body = ''] of raw.matchAll(/(\d+) 0 obj\n?([\s\S]*?)endobj/g)) objects.set(number, body);
  const pages = [...objects.values()].filter((body) => /\/Type\s*\/Page\b/.test(body));
  return pages.map((body) => {
    const content = objects.get(/\/Contents (\d+) 0 R/.exec(body)?.[1] ?? '') ?? '';
    const stream = /stream\r?\n([\s\S]*?)\r?\nendstream/.exec(content)?.[1] ?? '';
    const drawn = inflateSync(Buffer.from(stream, 'latin1')).toString('latin1');
    return [...drawn.matchAll(/\b(Tj|TJ)\b/g)].length;
  });
}

test('a person, a pair, a day and the list of people are printed without blank pages', async ({ page }, info) => {
  test.skip(info.project.name !== 'desktop', 'paper is the same for all');
  const other = await best();
  const counts: Record<string, number[]> = {};
  for (const [path, complete] of [
    ['/', '.virtual-list a'],
    ['/people/1', '.virtual-list a'],
    [`/people/1/with/${other}`, '.map-point'],
    ['/people/1/map?from=2026-06-02&near=nearby&tz=America%2FDenver', '.day-list li'],
  ] as const) {
    await page.goto(path);
    await expect(page.locator(complete).first()).toBeVisible();
    await page.waitForLoadState('networkidle');
    const pages = await printed(page);
    counts[path] = pages;
    for (const [index, letters] of pages.entries())
      expect(letters, `${path}, page ${index + 1} of ${pages.length}`).toBeGreaterThan(0);
  }
  console.log('printed pages', JSON.stringify(counts));
  expect(counts['/people/1']?.length ?? 99).toBeLessThanOrEqual(8);
});

test('what is printed is all that was loaded', async ({ page }, info) => {
  test.skip(info.project.name !== 'desktop', 'paper is the same for all');
  await page.goto('/');
  await expect(page.locator('.virtual-list a').first()).toBeVisible();
  await page.evaluate(() => window.dispatchEvent(new Event('beforeprint')));
  const rows = await page.locator('.virtual-list li').count();
  expect(rows).toBeGreaterThanOrEqual(100);
  await page.evaluate(() => window.dispatchEvent(new Event('afterprint')));
  expect(await page.locator('.virtual-list li').count()).toBeLessThan(60);
});
