import { start } from './programs';
import { api, best, expect, send, setting, test } from './test';

interface Person {
  id: number;
}

test('a location of now does not make the event disappear, and is one tap away', async ({ page }) => {
  const first = `Nova${test.info().project.name}`;
  const person = await send<Person>('/api/persons', {
    first_name: first,
    last_name: String(Date.now()),
    company_name: 'Blue Mesa Labs',
  });
  // Where person 1 was, a few steps aside.
  const track = await api<{ latitude: number; longitude: number; creation_time: string }[]>(
    '/api/persons/1/locations?start_date=2026-06-02&end_date=2026-06-02&limit=40',
  );
  for (const { latitude, longitude, creation_time } of track)
    await send('/api/locations', { person_id: person.id, latitude, longitude, creation_time });
  await page.goto(`/people/${person.id}`);
  await expect(page.locator('.summary')).toContainText(`${first} met`);

  // As the README and the banner of `make run` do it, where nobody of another browser's run is now.
  const latitude = test.info().project.name === 'phone' ? 35.0685 : 35.0785;
  await send('/api/locations', { person_id: person.id, latitude, longitude: -106.5819 });
  await page.reload();
  await expect(page.locator('.summary')).toContainText(`${first} met`);
  const others = page.locator('.other-days');
  await expect(others).toContainText(`Shown: Tuesday 2 June 2026. ${first} was also seen on other days:`);
  await others.getByRole('button').click();
  await expect(page).toHaveURL(/from=\d{4}-\d\d-\d\d&tz=America%2FDenver$/);
  await expect(page.getByRole('heading', { name: `${first} met nobody like this` })).toBeVisible();
  await others.getByRole('button', { name: 'Tuesday 2 June 2026' }).click();
  await expect(page.locator('.summary')).toContainText(`${first} met`);
  await page.goto(`/people/${person.id}/map`);
  await expect(page.getByText('Tuesday 2 June 2026', { exact: true })).toBeVisible();
  await expect(page.locator('path.map-track')).toBeAttached();
});

test('while a new question is asked the answer before is told from the one that is coming', async ({ page }) => {
  await page.goto('/people/1');
  await expect(page.locator('.summary')).toContainText('met');
  let go: () => void = () => undefined;
  const held = new Promise<void>((resolve) => (go = resolve));
  await page.route('**/api/persons/1/connections?**', async (route) => {
    await held;
    await route.continue();
  });
  const filters = page.locator('details.filters');
  if ((await filters.getAttribute('open')) === null) await filters.locator('summary').click();
  await page.getByRole('radio', { name: 'Nearby' }).click();
  await expect(page.locator('.person-list [aria-busy="true"]')).toBeVisible();
  await expect(page.locator('.summary')).toHaveText('Looking again…');
  go();
  await expect(page.locator('.person-list [aria-busy="true"]')).toBeHidden();
  await expect(page.locator('.summary')).toContainText('met');

  await page.goto('/');
  await expect(page.locator('.found')).toContainText('people');
  await page.route('**/api/persons?**', async (route) => {
    await new Promise(() => undefined);
    await route.abort();
  });
  await page.getByRole('searchbox').fill('a');
  await expect(page.locator('.found')).toHaveText('Searching…');
  await expect(page.locator('.people [aria-busy="true"]')).toBeVisible();
});

test.describe('without the API', () => {
  test.use({ expected: /Failed to load resource/ });

  test('the page stays as it is while it asks again and again', async ({ page }) => {
    await page.goto('/');
    await expect(page.locator('a[href="/people/1"]')).toBeVisible();
    let asked = 0;
    await page.route('**/api/persons?**', async (route) => {
      asked += 1;
      await route.abort();
    });
    await page.getByRole('searchbox').fill('a');
    await expect(page.getByRole('heading', { name: 'UdaConnect cannot be reached' })).toBeVisible();
    await page.evaluate(() => {
      const store = window as unknown as { changes: number };
      store.changes = 0;
      const main = document.querySelector('main');
      if (!main) throw new Error('no main');
      new MutationObserver((records) => {
        store.changes += records.filter(({ type }) => type === 'childList').length;
      }).observe(main, { childList: true, subtree: true });
    });
    const before = asked;
    await expect.poll(() => asked, { timeout: 60_000 }).toBeGreaterThan(before + 6);
    expect(await page.evaluate(() => (window as unknown as { changes: number }).changes)).toBe(0);
    await expect(page.locator('a[href="/people/1"]')).toBeHidden();
    await page.unroute('**/api/persons?**');
    await expect(page.locator('.found')).toContainText(/person|people/);
  });

  test('what was answered before stays, with a note since when', async ({ page }) => {
    await page.clock.install();
    await page.goto('/people/1');
    await expect(page.locator('.summary')).toContainText('met');
    await page.route('**/api/persons/**', (route) => route.abort());
    await page.locator('.virtual-list a').first().click();
    await expect(page.getByRole('heading', { level: 2, name: 'UdaConnect cannot be reached' })).toBeVisible();
    // Long enough that it is asked for anew.
    await page.clock.fastForward('05:00');
    await page.goBack();
    await expect(page.locator('.outdated')).toContainText(/Not up to date: this is as of \d\d:\d\d/);
    await expect(page.locator('.virtual-list a').first()).toBeVisible();
    await page.unroute('**/api/persons/**');
    await page.clock.fastForward('00:30');
    await expect(page.locator('.outdated')).toBeHidden();
  });
});

test.describe('dates', () => {
  const open = async (page: import('@playwright/test').Page, path: string) => {
    const asked: URL[] = [];
    page.on('request', (request) => {
      if (request.method() === 'GET' && request.url().includes('/connections?')) asked.push(new URL(request.url()));
    });
    await page.goto(path);
    const filters = page.locator('details.filters');
    await expect(page.locator('.summary, .state').first()).toBeVisible();
    if ((await filters.getAttribute('open')) === null) await filters.locator('summary').click();
    return asked;
  };

  test('that are the wrong way round are said so beside the field, and stay as they were typed', async ({ page }) => {
    const asked = await open(page, '/people/1');
    await expect(page.getByText('All 3 days')).toBeVisible();
    await page.getByRole('radio', { name: 'Other dates' }).check();
    await page.getByLabel('From', { exact: true }).fill('2026-06-09');
    await page.getByLabel('From', { exact: true }).blur();
    await expect(page.getByLabel('From', { exact: true })).toHaveAccessibleDescription(/This is after “To”/);
    await expect(page.getByLabel('From', { exact: true })).toHaveAttribute('aria-invalid', 'true');
    await expect(page.getByLabel('From', { exact: true })).toHaveValue('2026-06-09');
    await expect(page.getByLabel('To', { exact: true })).toHaveValue('2026-06-03');
    await page.getByLabel('To', { exact: true }).fill('2026-06-10');
    await page.getByLabel('To', { exact: true }).blur();
    await expect(page.getByLabel('From', { exact: true })).toHaveAttribute('aria-invalid', 'false');
    await expect(page).toHaveURL(/from=2026-06-09&to=2026-06-10/);
    await page.getByLabel('To', { exact: true }).fill('');
    await page.getByLabel('To', { exact: true }).blur();
    await expect(page.getByLabel('To', { exact: true })).toHaveAccessibleDescription('Give a whole date');
    expect(asked.every(({ searchParams: p }) => (p.get('start_date') ?? '') < (p.get('end_date') ?? ''))).toBe(true);
  });

  test('of an address that are no range are said so', async ({ page }) => {
    await open(page, '/people/1?from=2026-06-03&to=2026-06-01');
    await expect(page.getByLabel('To', { exact: true })).toHaveAccessibleDescription(/This is before “From”/);
    await expect(page.getByLabel('From', { exact: true })).toHaveValue('2026-06-03');
  });

  test('are asked for when they are typed, not for each digit of a year', async ({ page }) => {
    const asked = await open(page, '/people/1');
    await expect(page.getByText('All 3 days')).toBeVisible();
    await page.getByRole('radio', { name: 'Other dates' }).check();
    const before = asked.length;
    await page.getByLabel('From', { exact: true }).focus();
    // Whether the browser puts days or months first.
    await page.getByLabel('From', { exact: true }).pressSequentially('03032026');
    await page.getByLabel('From', { exact: true }).press('Enter');
    await expect(page).toHaveURL(/from=2026-03-03&to=2026-06-03/);
    await expect.poll(() => asked.length).toBeGreaterThan(before);
    const years = asked.slice(before).map(({ searchParams }) => searchParams.get('start_date')?.slice(0, 4));
    expect(new Set(years)).toEqual(new Set(['2026']));
  });

  test('at the end of the calendar are themselves', async ({ page }) => {
    const asked = await open(page, '/people/1?from=9999-12-31&tz=America%2FDenver');
    await expect(page.getByRole('heading', { name: /met nobody like this/ })).toBeVisible();
    expect(asked.at(-1)?.searchParams.get('start_date')).toBe('9999-12-31T07:00:00Z');
    expect(asked.at(-1)?.searchParams.get('end_date')).toBe('9999-12-31T23:59:59.999999Z');
    await page.goto('/people/1?from=0001-01-01&tz=UTC');
    await expect(page.getByRole('heading', { name: /met nobody like this/ })).toBeVisible();
    expect(asked.at(-1)?.searchParams.get('start_date')).toBe('0001-01-01T00:00:00Z');
    expect(asked.at(-1)?.searchParams.get('end_date')).toBe('0001-01-02T00:00:00Z');
  });
});

test('a shared time is the same instant on a device of another zone, and older links still open', async ({
  browser,
}) => {
  const other = await best();
  // A page that knows no zone of the event shows that of the device.
  const app = start(setting('E2E_BINARY'), 'serve-app', {
    LISTEN_ADDR: '127.0.0.1:0',
    API_URL: setting('E2E_API_URL'),
  });
  try {
    const origin = `http://${await app.address('serving the web app')}`;
    const there = async (timezoneId: string, address: string) => {
      const context = await browser.newContext({ timezoneId });
      const page = await context.newPage();
      await page.goto(address);
      await expect(page.locator('path.map-track')).toBeAttached();
      return page;
    };
    const denver = await there('America/Denver', `${origin}/people/1/map`);
    await denver.getByRole('slider').press('End');
    const shown = await denver.getByRole('slider').getAttribute('aria-valuetext');
    await expect(denver).toHaveURL(/t=2026-06-01T1\d%3A\d\d-06%3A00/);
    const berlin = await there('Europe/Berlin', denver.url());
    await expect(berlin.getByRole('slider')).toHaveAttribute('aria-valuetext', shown ?? '');
    await expect(berlin.getByText('Monday 1 June 2026', { exact: true })).toBeVisible();
    // Without its day it is still the instant, here in the zone of the device.
    const only = new URL(denver.url());
    only.search = `?${new URLSearchParams({ t: only.searchParams.get('t') ?? '' })}`;
    const alone = await there('UTC', only.href);
    const hour = (Number(shown?.slice(0, 2)) + 6) % 24;
    await expect(alone.getByRole('slider')).toHaveAttribute('aria-valuetext', new RegExp(`^${hour}:`.padStart(4, '0')));
    const old = await there('Asia/Tokyo', `${origin}/people/1/map?from=2026-06-02&tz=America%2FDenver&t=11:30`);
    await expect(old.getByRole('slider')).toHaveAttribute('aria-valuetext', '11:30');

    const pair = await there('Asia/Tokyo', `${origin}/people/1/map`);
    await pair.goto(`${origin}/people/1/with/${other}`);
    await pair.locator('.encounters button').first().click();
    await expect(pair).toHaveURL(/at=2026-06-0\dT[\d%A.]+Z/);
    for (const page of [denver, berlin, alone, old, pair]) await page.context().close();
  } finally {
    await app.stop();
  }
});

test.describe('offline', () => {
  test.use({ expected: /Failed to load resource|ERR_|Failed to fetch/ });

  test('a reload shows the page, which says so, and nothing that the API said is kept', async ({ page }) => {
    const binary = setting('E2E_BINARY');
    const app = start(binary, 'serve-app', { LISTEN_ADDR: '127.0.0.1:0', API_URL: setting('E2E_API_URL') });
    let again: ReturnType<typeof start> | undefined;
    try {
      const address = await app.address('serving the web app');
      await page.goto(`http://${address}/`);
      await expect(page.locator('a[href="/people/1"]')).toBeVisible();
      await page.evaluate(async () => {
        const { active } = await navigator.serviceWorker.ready;
        if (active?.state === 'activated') return;
        await new Promise((resolve) => active?.addEventListener('statechange', resolve));
      });
      const kept = await page.evaluate(async () => {
        const all: string[] = [];
        for (const name of await caches.keys())
          for (const { url } of await (await caches.open(name)).keys()) all.push(new URL(url).pathname);
        return all;
      });
      expect(kept.filter((path) => !/^\/(assets\/[^/]+|favicon\.svg|config\.json|)$/.test(path))).toEqual([]);

      await app.stop();
      await page.context().setOffline(true);
      await page.goto(`http://${address}/people/1/map`);
      await expect(page.locator('.brand')).toBeVisible();
      await expect(
        page.getByRole('heading', { level: 2, name: /You are offline|UdaConnect cannot be reached/ }),
      ).toBeVisible();
      await expect(page).not.toHaveTitle(/Loading/);
      expect(await page.locator('main').innerText()).not.toContain('Person');

      // What the server has after an upgrade is what is shown: not the page that was kept.
      again = start(binary, 'serve-app', { LISTEN_ADDR: address, API_URL: setting('E2E_API_URL') });
      await again.address('serving the web app');
      await page.context().setOffline(false);
      await page.goto(`http://${address}/`);
      await expect(page.locator('a[href="/people/1"]')).toBeVisible();
      const fromNetwork = await page.evaluate(async () => {
        const response = await fetch('/config.json');
        return response.headers.get('date') !== null && response.status === 200;
      });
      expect(fromNetwork).toBe(true);
    } finally {
      await Promise.all([app.stop(), again?.stop()]);
    }
  });
});
