import type { Page } from '@playwright/test';
import { audit, best, expect, layoutShift, test, VIEWS, watchLayout } from './test';

// The browser itself writes a line for the person whom nobody is.
test.use({ expected: /Failed to load resource/ });

/** Letters of twice the size, as the browser's own settings make them. */
async function largeLetters(page: Page): Promise<void> {
  const session = await page.context().newCDPSession(page);
  await session.send('Page.setFontSizes', { fontSizes: { standard: 32, fixed: 26 } });
}

/** What reaches beyond the sides of the window and is not cut off or scrolled by something around it. */
async function sideways(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const width = document.documentElement.clientWidth;
    const found =
      document.documentElement.scrollWidth > width ? [`the page is ${document.documentElement.scrollWidth} wide`] : [];
    for (const element of document.querySelectorAll<HTMLElement>('body *')) {
      const box = element.getBoundingClientRect();
      if (box.width === 0 || box.height === 0 || (box.right <= width + 1 && box.left >= -1)) continue;
      let around: HTMLElement | null = element;
      while (around && getComputedStyle(around).overflowX === 'visible') around = around.parentElement;
      if (around && around !== document.body && around !== document.documentElement) continue;
      if (element.closest('.visually-hidden, .skip, svg')) continue;
      found.push(`${element.tagName}.${element.className} ${Math.round(box.left)}–${Math.round(box.right)}`);
    }
    return found;
  });
}

for (const { name, viewport, large } of [
  { name: 'at 320 pixels', viewport: { width: 320, height: 568 }, large: false },
  { name: 'at 320 pixels with letters of twice the size', viewport: { width: 320, height: 568 }, large: true },
  { name: 'at 375 pixels with letters of twice the size', viewport: { width: 375, height: 667 }, large: true },
  { name: 'at 1280 pixels with letters of twice the size', viewport: { width: 1280, height: 800 }, large: true },
]) {
  test.describe(name, () => {
    test.use({ viewport });

    test('no view scrolls sideways', async ({ page }) => {
      if (large) await largeLetters(page);
      const found: Record<string, string[]> = {};
      for (const [path, complete] of VIEWS) {
        await page.goto(path);
        await expect(page.locator(complete).first()).toBeVisible();
        await page.waitForLoadState('networkidle');
        for (const details of await page.locator('details:not([open])').all()) await details.locator('summary').click();
        const dates = page.getByRole('radio', { name: 'Other dates' });
        if ((await dates.count()) > 0) await dates.first().check();
        const wide = await sideways(page);
        if (wide.length > 0) found[path] = wide.slice(0, 8);
      }
      expect(found).toEqual({});
    });

    test('what has the focus is not under the header', async ({ page }) => {
      if (large) await largeLetters(page);
      await page.goto('/people/1');
      const rows = page.getByRole('list', { name: 'People met, most time together first' }).getByRole('link');
      await expect(rows.first()).toBeVisible();
      await rows.first().focus();
      for (let step = 0; step < 8; step += 1) await page.keyboard.press('ArrowDown');
      for (let step = 0; step < 7; step += 1) {
        await page.keyboard.press('ArrowUp');
        const hidden = await page.evaluate(() => {
          const box = document.activeElement?.getBoundingClientRect();
          const top = document.querySelector('.top')?.getBoundingClientRect();
          const sticky = getComputedStyle(document.querySelector('.top') ?? document.body).position === 'sticky';
          return box && top && sticky ? Math.round(top.bottom - box.top) : 0;
        });
        expect(hidden).toBeLessThanOrEqual(0);
      }
    });
  });
}

for (const viewport of [
  { width: 375, height: 667 },
  { width: 320, height: 568 },
]) {
  test.describe(`on a phone of ${viewport.width} × ${viewport.height}`, () => {
    test.use({ viewport, isMobile: true, hasTouch: true });

    test('an encounter that is tapped brings the map into view, and one comes back', async ({ page }) => {
      const other = await best();
      for (const path of ['/people/1/map?from=2026-06-02&near=nearby&tz=America%2FDenver', `/people/1/with/${other}`]) {
        await page.goto(path);
        await expect(page.locator('.map-point').first()).toBeVisible();
        // Below the map, and among the rows that a long list has in the document from the start.
        const row = page.locator(`.virtual-list > [data-index="7"] button`);
        await row.scrollIntoViewIfNeeded();
        await row.tap();
        await expect(page.locator('.map-frame')).toBeInViewport({ ratio: 0.7 });
        await expect(page.locator('.map-chosen')).toBeInViewport();
        await expect(page.locator('.day-map, .pair-map')).toBeFocused();
        expect(await audit(page)).toEqual([]);
        await page.getByRole('button', { name: 'Back to the list' }).click();
        await expect(row).toBeFocused();
        await expect(row).toBeInViewport();
      }
    });
  });
}

test('a day that plays moves nothing, speaks only when it rests, and is a few stops away', async ({ page }) => {
  await watchLayout(page);
  await page.goto('/people/1/map?from=2026-06-02&near=nearby&tz=America%2FDenver');
  await expect(page.locator('.map-point').first()).toBeVisible();
  await expect(page.locator('.day-list li').first()).toBeVisible();
  await page.waitForLoadState('networkidle');

  // From the heading to the player by the tabulator.
  await page.locator('h1').focus();
  const play = page.getByRole('button', { name: 'Play the day' });
  let stops = 0;
  while (stops < 60 && !(await play.evaluate((button) => button === document.activeElement))) {
    await page.keyboard.press('Tab');
    stops += 1;
  }
  expect(stops).toBeLessThanOrEqual(15);

  // The points of the map are one stop, and the arrow keys go through them.
  const points = page.locator('.map-point');
  expect(await points.evaluateAll((all) => all.filter((point) => (point as HTMLElement).tabIndex === 0).length)).toBe(
    1,
  );
  await points.first().focus();
  await page.keyboard.press('ArrowRight');
  await expect(points.nth(1)).toBeFocused();
  await page.keyboard.press('Home');
  await expect(points.first()).toBeFocused();

  await page.evaluate(() => {
    const store = window as unknown as { spoken: number };
    store.spoken = 0;
    for (const region of document.querySelectorAll('[role="status"], [role="alert"], [aria-live], output'))
      new MutationObserver(() => {
        store.spoken += 1;
      }).observe(region, { childList: true, characterData: true, subtree: true });
  });
  const spoken = () => page.evaluate(() => (window as unknown as { spoken: number }).spoken);
  const slider = page.getByRole('slider');
  const begin = await slider.getAttribute('aria-valuetext');
  const before = await layoutShift(page);
  await play.focus();
  await page.keyboard.press('Enter');
  // Through an hour and a half of comings and goings.
  await expect.poll(async () => Number(await slider.inputValue()), { timeout: 60_000 }).toBeGreaterThan(90);
  expect(await spoken()).toBe(0);
  await page.getByRole('button', { name: 'Pause' }).press('Enter');
  await expect(page.locator('.player [role="status"]')).not.toBeEmpty();
  expect(await spoken()).toBeLessThanOrEqual(2);
  expect(await slider.getAttribute('aria-valuetext')).not.toBe(begin);
  expect((await layoutShift(page)) - before).toBeLessThanOrEqual(0.1);
});
