import { audit, expect, layoutShift, test, VIEWS, watchLayout } from './test';

// The browser itself writes a line for the person whom nobody is.
test.use({ expected: /Failed to load resource/ });

for (const colorScheme of ['light', 'dark'] as const) {
  test.describe(`in ${colorScheme} colours`, () => {
    test.use({ colorScheme });

    for (const [path, complete] of VIEWS) {
      test(`axe finds nothing at ${path}`, async ({ page }) => {
        await page.goto(path);
        await expect(page.locator(complete).first()).toBeVisible();
        // The view as it stays: what is still arriving moves the parts about, and may lie over one for a moment.
        await page.waitForLoadState('networkidle');
        // Everything that can be unfolded takes part.
        for (const details of await page.locator('details:not([open])').all()) await details.locator('summary').click();
        expect(await audit(page)).toEqual([]);
      });
    }
  });
}

test('nothing jumps while a view is loading', async ({ page }) => {
  await watchLayout(page);
  const shifts: Record<string, number> = {};
  for (const [path, complete] of VIEWS) {
    await page.goto(path);
    await expect(page.locator(complete).first()).toBeVisible();
    await page.waitForLoadState('networkidle');
    shifts[path] = Number((await layoutShift(page)).toFixed(4));
  }
  test.info().annotations.push({ type: 'layout shift', description: JSON.stringify(shifts) });
  console.log('layout shift', test.info().project.name, JSON.stringify(shifts));
  // What web.dev calls good is 0.1.
  for (const [path, shift] of Object.entries(shifts)) expect(shift, path).toBeLessThan(0.1);
});

test.describe('without the service worker, which fetches the rest once the page is there', () => {
  // Playwright itself says that it is blocked.
  test.use({ serviceWorkers: 'block', expected: /Service Worker registration blocked/ });

  test('the first load is small, and the map comes when it is needed', async ({ page }) => {
    const session = await page.context().newCDPSession(page);
    await session.send('Network.enable');
    const own = new Set<string>();
    const sizes = new Map<string, number>();
    const { origin } = new URL(test.info().project.use.baseURL ?? '');
    session.on('Network.requestWillBeSent', ({ requestId, request }) => {
      if (request.url.startsWith(origin)) own.add(requestId);
    });
    session.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => {
      if (own.has(requestId)) sizes.set(requestId, encodedDataLength);
    });
    const sum = () => [...sizes.values()].reduce((total, size) => total + size, 0);
    await page.goto('/');
    await expect(page.locator('a[href="/people/1"]')).toBeVisible();
    await page.waitForLoadState('networkidle');
    const first = sum();
    await page.goto('/people/1/map');
    await expect(page.locator('path.map-track')).toBeAttached();
    const map = sum() - first;
    console.log(`bytes over the network: first load ${first}, with the map ${map} more`);
    expect(first).toBeLessThan(300 * 1024);
    expect(map).toBeGreaterThan(0);
  });
});
