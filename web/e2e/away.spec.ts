import { start } from './programs';
import { expect, setting, test } from './test';

// The browser itself writes a line for each request without an answer.
test.use({ expected: /Failed to load resource: net::ERR_/ });

test('the API is away and comes back: the page says so and heals by itself', async ({ page }) => {
  const database = { DATABASE_URL: setting('E2E_DATABASE_URL') };
  const binary = setting('E2E_BINARY');
  const first = start(binary, 'serve-api', { ...database, LISTEN_ADDR: '127.0.0.1:0' });
  const address = await first.address('serving the API');
  const app = start(binary, 'serve-app', { LISTEN_ADDR: '127.0.0.1:0', API_URL: `http://${address}` });
  const origin = `http://${await app.address('serving the web app')}`;
  let second: ReturnType<typeof start> | undefined;
  try {
    await page.goto(`${origin}/`);
    await expect(page.locator('a[href="/people/1"]')).toBeVisible();
    await first.stop();

    await page.getByRole('searchbox').fill('a');
    await expect(page.getByRole('heading', { name: 'UdaConnect cannot be reached' })).toBeVisible();
    await expect(page.getByRole('button', { name: 'Try again' })).toBeVisible();

    second = start(binary, 'serve-api', { ...database, LISTEN_ADDR: address });
    await second.address('serving the API');
    await expect(page.getByRole('heading', { name: 'UdaConnect cannot be reached' })).toBeHidden();
    await expect(page.locator('.found')).toContainText(/person|people/);
  } finally {
    await Promise.all([first.stop(), app.stop(), second?.stop()]);
  }
});

test('offline, what was loaded stays and the page says so', async ({ page, context }) => {
  await page.goto('/');
  await expect(page.locator('a[href="/people/1"]')).toBeVisible();
  await context.setOffline(true);
  await expect(page.locator('.offline')).toBeVisible();
  await page.locator('a[href="/people/2"]').click();
  await expect(page.getByText('This view appears when you are back online.')).toBeVisible();
  await context.setOffline(false);
  await expect(page.locator('.offline')).toBeHidden();
  await expect(page.locator('.person-head h1')).not.toBeEmpty();
  await page.goBack();
  await expect(page.locator('a[href="/people/1"]')).toBeVisible();
});
