import { api, expect, test } from './test';

interface Person {
  id: number;
  first_name: string;
  last_name: string;
}

test('the list holds everybody, though only what is seen is in the document', async ({ page }) => {
  const everybody = await api<Person[]>('/api/persons?limit=1000');
  await page.goto('/');
  const list = page.getByRole('list', { name: 'People' });
  await expect(list.getByRole('link').first()).toBeVisible();
  expect(await list.getByRole('listitem').count()).toBeLessThan(60);
  const last = everybody.at(-1);
  if (!last) throw new Error('there is nobody');
  await expect(async () => {
    await page.mouse.wheel(0, 5_000);
    await expect(page.locator(`a[href="/people/${last.id}"]`)).toBeVisible({ timeout: 500 });
  }).toPass();
  await page.locator(`a[href="/people/${last.id}"]`).click();
  await expect(page).toHaveURL(`/people/${last.id}`);
  // Back to where one was in the list, not to its top.
  await page.goBack();
  await expect(page.locator(`a[href="/people/${last.id}"]`)).toBeInViewport();
  // And the focus is on who was looked at.
  await expect(page.locator(`a[href="/people/${last.id}"]`)).toBeFocused();
});

test('the keyboard is enough', async ({ page }) => {
  await page.goto('/');
  await page.keyboard.press('Tab');
  await expect(page.getByRole('link', { name: 'Skip to the content' })).toBeFocused();
  const search = page.getByRole('searchbox');
  await search.focus();
  await page.keyboard.type('a');
  await expect(page).toHaveURL(/\?q=a/);
  await page.keyboard.press('ArrowDown');
  const rows = page.getByRole('list', { name: 'People' }).getByRole('link');
  await expect(rows.first()).toBeFocused();
  await page.keyboard.press('ArrowDown');
  await expect(rows.nth(1)).toBeFocused();
  const target = await rows.nth(1).getAttribute('href');
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(target ?? '');
  // A screen reader hears where it is.
  await expect(page.getByRole('heading', { level: 1 })).toBeFocused();
});

test.describe('what the API refuses', () => {
  // The browser itself writes a line for each answer that is an error.
  test.use({ expected: /Failed to load resource/ });

  test('a person is added, then a location of theirs; what the server refuses stands beside the field', async ({
    page,
  }) => {
    const name = `Testa ${test.info().project.name}-${Date.now()}`;
    const [first = '', last = ''] = name.split(' ');
    await page.goto('/add');
    await page.getByLabel('First name').fill(first);
    await page.getByLabel('Company').fill('Blue Mesa Labs');
    await page.getByRole('button', { name: 'Add' }).click();
    await expect(page.getByLabel('Last name')).toHaveAttribute('aria-invalid', 'true');
    await expect(page.getByLabel('Last name')).toBeFocused();
    await page.getByLabel('Last name').fill(last);
    await page.getByRole('button', { name: 'Add' }).click();
    await expect(page.getByText(`${name} was added.`)).toBeVisible();
    await expect(page.getByRole('heading', { name: `No locations of ${first} yet` })).toBeVisible();

    await page.getByRole('link', { name: 'Record a location' }).first().click();
    await page.getByLabel('Latitude').fill('91');
    await page.getByLabel('Longitude').fill('-106.6478');
    await page.getByLabel('When').fill('2026-06-02T10:00');
    await page.getByRole('button', { name: 'Record' }).click();
    await expect(page.locator('.field', { hasText: 'Latitude' }).locator('.field-error')).toContainText('91');
    await page.getByLabel('Latitude').fill('35.0872');
    await page.getByRole('button', { name: 'Record' }).click();
    await expect(page.getByText(`A location of ${name} at Tue 2 Jun, 10:00 was recorded.`)).toBeVisible();

    await page.goto('/');
    await page.getByRole('searchbox').fill(name);
    const found = page.getByRole('list', { name: 'People' }).getByRole('link');
    await expect(found).toHaveCount(1);
    const id = (await found.getAttribute('href'))?.split('/').at(-1) ?? '';
    const locations = await api<{ latitude: number; creation_time: string }[]>(`/api/persons/${id}/locations`);
    expect(locations).toMatchObject([{ latitude: 35.0872, creation_time: '2026-06-02T16:00:00Z' }]);
  });

  test('unknown people and addresses are said so', async ({ page }) => {
    for (const view of ['', '/map', '/record', '/with/1']) {
      for (const id of ['999999', 'x', '0', '9223372036854775807', '9223372036854775808']) {
        await page.goto(`/people/${id}${view}`);
        await expect(page.getByRole('heading', { level: 2, name: 'Nobody has this number' })).toBeVisible();
        await expect(page).toHaveTitle('Nobody has this number · UdaConnect');
        await expect(page.locator('main')).not.toContainText(id);
      }
    }
    await page.goto('/no/such/view');
    await page.getByRole('link', { name: 'Find a person' }).click();
    await expect(page).toHaveURL('/');
  });
});
