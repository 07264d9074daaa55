import { text } from '../src/text';
import { api, expect, test } from './test';

interface Person {
  id: number;
  first_name: string;
  last_name: string;
  company_name: string;
}
interface Connection {
  person: Person;
  encounters: number;
  total_duration: number;
  closest_m: number;
  last_met: string;
}
interface Encounter {
  start: string;
  end: string;
  duration: number;
  closest_m: number;
}

const name = (person: Person) => `${person.first_name} ${person.last_name}`;

/** The three days of the demo event in its own time zone, as the page asks for them. */
const EVENT = 'start_date=2026-06-01T06:00:00Z&end_date=2026-06-04T06:00:00Z';
const BOOTH = 'distance=10&within=300&gap=600';

test('from a search to where and when two people met, with the numbers of the API', async ({ page }) => {
  const me = await api<Person>('/api/persons/1');
  const met = await api<Connection[]>(`/api/persons/1/connections?${EVENT}&${BOOTH}&limit=100`);
  const best = met[0];
  if (!best) throw new Error('the demo event has no meetings');

  await page.goto('/');
  await page.getByRole('searchbox').fill(name(me));
  await expect(page).toHaveURL(/\?q=/);
  await page.locator('a[href="/people/1"]').click();

  await expect(page.getByRole('heading', { level: 1, name: name(me) })).toBeVisible();
  const rows = page.getByRole('list', { name: 'People met, most time together first' }).getByRole('listitem');
  for (const [index, { person, encounters, total_duration, closest_m }] of met.slice(0, 3).entries()) {
    const row = rows.nth(index);
    await expect(row).toContainText(name(person));
    await expect(row).toContainText(person.company_name);
    await expect(row).toContainText(text.duration(total_duration));
    await expect(row).toContainText(text.person.times(encounters));
    await expect(row).toContainText(text.person.nearest(closest_m));
  }

  await rows.first().getByRole('link').click();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText(`${name(me)} and ${name(best.person)}`);
  const encounters = await api<Encounter[]>(`/api/persons/1/connections/${best.person.id}?${EVENT}&${BOOTH}`);
  expect(encounters).toHaveLength(best.encounters);
  await expect(page.locator('.figures dd').first()).toHaveText(text.duration(best.total_duration));
  await expect(page.locator('.figures dd').nth(1)).toHaveText(String(best.encounters));
  const list = page.getByRole('region', { name: 'Every encounter' });
  await expect(list.getByRole('button')).toHaveCount(encounters.length);
  for (const [index, { start, duration, closest_m }] of encounters.entries()) {
    const at = new Date(start).toLocaleTimeString('en-GB', {
      timeZone: 'America/Denver',
      hour: '2-digit',
      minute: '2-digit',
    });
    await expect(list.getByRole('button').nth(index)).toContainText(at);
    await expect(list.getByRole('button').nth(index)).toContainText(text.pair.how(duration, closest_m));
  }

  // Every encounter is on the map, alone or in a group; a tap chooses it in the list, and the address keeps it.
  const map = page.getByRole('region', { name: 'Map' });
  const points = map.getByRole('button', { name: /Encounter|encounters/ });
  await expect(points.first()).toBeVisible();
  await points.first().click();
  await expect(list.locator('[aria-pressed="true"]')).toHaveCount(1);
  await expect(page).toHaveURL(/at=2026-06-0/);
  const address = page.url();
  await page.goto(address);
  await expect(page.getByRole('region', { name: 'Every encounter' }).locator('[aria-pressed="true"]')).toHaveCount(1);
});

test('the range and the nearness decide who was met, and are in the address', async ({ page }) => {
  await page.goto('/people/1');
  await expect(page.getByText(/met (more than )?\d+ (person|people)/)).toBeVisible();
  const filters = page.locator('details.filters');
  if ((await filters.getAttribute('open')) === null) await filters.locator('summary').click();

  await page.getByRole('radio', { name: 'Tue 2 Jun' }).click();
  await expect(page.getByRole('radio', { name: 'Tue 2 Jun' })).toBeChecked();
  await page.getByRole('radio', { name: 'Arm’s reach' }).click();
  await page.getByLabel('Together for at least').selectOption({ label: '5 min' });
  await expect(page).toHaveURL('/people/1?from=2026-06-02&near=arm&atleast=5&tz=America%2FDenver');
  const expected = await api<Connection[]>(
    '/api/persons/1/connections?start_date=2026-06-02T06:00:00Z&end_date=2026-06-03T06:00:00Z' +
      '&distance=2&within=60&gap=600&min_duration=300&limit=100',
  );
  const summary = page.locator('.summary');
  if (expected.length === 0) {
    await expect(page.getByRole('heading', { name: /met nobody like this/ })).toBeVisible();
  } else {
    await expect(summary).toContainText(text.person.met(expected.length, false));
  }

  // The same for whoever gets the link.
  await page.reload();
  if (expected[0]) await expect(summary).toContainText(name(expected[0].person));
});

test('a day on the map: a way, encounters to tap, and who is near as the time goes by', async ({ page }) => {
  await page.goto('/people/1');
  await page.getByRole('link', { name: 'Map of a day' }).click();
  await expect(page.getByRole('heading', { level: 1 })).toContainText('’s day');
  await page.getByRole('radio', { name: 'Tue 2 Jun' }).click();
  await expect(page).toHaveURL(/from=2026-06-02/);
  await expect(page.getByText('Tuesday 2 June 2026', { exact: true })).toBeVisible();

  // Nine in the morning until six, in the event's time zone.
  const slider = page.getByRole('slider', { name: 'Time of day' });
  await expect(slider).toHaveAttribute('aria-valuetext', '09:00');
  await slider.press('End');
  await expect(slider).toHaveAttribute('aria-valuetext', /^(17:59|18:00)$/);

  const list = page.getByRole('region', { name: 'Encounters of the day' });
  const first = list.locator('.day-met').first();
  await first.getByRole('button').click();
  const who = await first.locator('.row-name').innerText();
  await expect(page.locator('.player-company')).toContainText(who);
  // The time with its offset, and the day with its zone: the link is the same instant elsewhere.
  await expect(page).toHaveURL(/from=2026-06-02&tz=America%2FDenver&t=2026-06-02T\d\d%3A\d\d-06%3A00$/);
  await expect(page.locator('.map-point').first()).toBeVisible();
  await expect(page.locator('path.map-track')).toHaveAttribute('d', /L/);

  await page.locator('.map-point').last().press('Enter');
  await expect(page.locator('.day-here a').first()).toBeVisible();
  await page.reload();
  await expect(page.getByRole('slider')).not.toHaveAttribute('aria-valuetext', '09:00');
});

test('times are shown in the zone that the visitor chooses', async ({ page }) => {
  await page.goto('/people/1/map');
  await expect(page.getByRole('slider')).toHaveAttribute('aria-valuetext', '09:00');
  await page.getByLabel('All times in').selectOption('UTC');
  await expect(page).toHaveURL(/tz=UTC/);
  await expect(page.getByRole('slider')).toHaveAttribute('aria-valuetext', '15:00');
  // In Berlin the event's days end after midnight; the first of them begins at five in the afternoon.
  await page.getByLabel('All times in').selectOption('Europe/Berlin');
  await expect(page.getByRole('slider')).toHaveAttribute('aria-valuetext', '17:00');
  await expect(page.getByText('Thu 4 Jun', { exact: true })).toBeVisible();
});

test('everybody who was near on a day is on its map', async ({ page }) => {
  const question = 'start_date=2026-06-02T06:00:00Z&end_date=2026-06-03T06:00:00Z&distance=30&within=600&gap=600';
  const met = await api<Connection[]>(`/api/persons/1/connections?${question}&limit=1000`);
  // More than were once asked for, one by one.
  expect(met.length).toBeGreaterThan(25);
  const total = met.reduce((sum, { encounters }) => sum + encounters, 0);
  const asked: string[] = [];
  page.on('request', (request) => {
    if (request.method() === 'GET' && request.url().includes('/connections')) asked.push(request.url());
  });
  await page.goto('/people/1/map?from=2026-06-02&near=nearby&tz=America%2FDenver');
  const list = page.getByRole('region', { name: 'Encounters of the day' });
  await expect(list).toContainText(text.day.listHelp(total, met.length));
  expect(asked).toHaveLength(1);
  // Every one is a point, or in a group of points.
  const ids = () =>
    page
      .locator('.map-point')
      .evaluateAll((points) => points.flatMap((point) => point.getAttribute('data-ids')?.split(' ') ?? []));
  await expect(async () => {
    expect((await ids()).length).toBe(total);
  }).toPass();

  // With the one of the least time together the player does not say that nobody was near.
  const last = met.at(-1);
  if (!last) throw new Error('nobody');
  const [encounter] = await api<Encounter[]>(`/api/persons/1/connections/${last.person.id}?${question}`);
  const at = encodeURIComponent(encounter?.start ?? '');
  await page.goto(`/people/1/map?from=2026-06-02&near=nearby&tz=America%2FDenver&t=${at}`);
  await expect(page.locator('.player-company')).toContainText(/With \d+:/);
  // A long list is in the document only as far as it is seen.
  expect(await list.getByRole('listitem').count()).toBeLessThan(Math.min(total, 61));
});
