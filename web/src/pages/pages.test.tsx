import { cleanup, fireEvent, screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { describe, expect, it } from 'vitest';
import { ada, answer, grace, type Asked, type Said } from '../test/api';
import { open } from '../test/render';

const closest = { distance_m: 0.731, time: '2026-06-02T10:03:00Z', latitude: 35.0872, longitude: -106.6478 };
const connection = {
  person: grace,
  encounters: 3,
  total_duration: 4_320,
  first_met: '2026-06-01T09:00:00Z',
  last_met: '2026-06-03T16:20:00Z',
  closest_m: 0.731,
  closest,
};
const DAYS = ['2026-06-01', '2026-06-02', '2026-06-03'].map((date) => ({ date, locations: 540 }));

/** An event of two people who met. */
function event({ path, query }: Asked): Said {
  switch (path) {
    case '/api/persons':
      return {
        body: [ada, grace].filter((person) =>
          person.first_name.toLowerCase().includes((query.get('q') ?? '').toLowerCase()),
        ),
      };
    case '/api/persons/1':
      return { body: ada };
    case '/api/persons/2':
      return { body: grace };
    case '/api/persons/1/days':
      return { body: DAYS };
    case '/api/persons/1/connections':
      return { body: Number(query.get('distance')) >= 10 ? [connection] : [] };
    case '/api/persons/1/connections/2':
      return {
        body: [
          { start: '2026-06-02T10:00:00Z', end: '2026-06-02T10:20:00Z', duration: 1_200, closest_m: 0.731, closest },
        ],
      };
    case '/api/persons/1/locations':
      return { body: [] };
    default:
      return { status: 404, body: { status: 404, title: 'Not Found', detail: `there is no ${path}` } };
  }
}

describe('people', () => {
  it('are found as one types, and the address says what was typed', async () => {
    const user = userEvent.setup();
    const asked = answer(event);
    const router = open('/');
    expect(await screen.findByText('2 people')).toBeVisible();
    await user.type(screen.getByRole('searchbox'), 'gra');
    expect(await screen.findByText('1 person')).toBeVisible();
    expect(router.state.location.search).toBe('?q=gra');
    expect(asked.at(-1)?.query.get('q')).toBe('gra');
  });

  it('that are not there are said so, with what to try', async () => {
    answer(event);
    open('/?q=zzz');
    expect(await screen.findByRole('heading', { name: 'Nobody is called “zzz”' })).toBeVisible();
  });

  it('can be asked for again when the API did not answer', async () => {
    const user = userEvent.setup();
    answer(() => undefined);
    open('/');
    expect(await screen.findByRole('heading', { name: 'UdaConnect cannot be reached' })).toBeVisible();
    answer(event);
    await user.click(screen.getByRole('button', { name: 'Try again' }));
    expect(await screen.findByText('2 people')).toBeVisible();
  });
});

describe('a person', () => {
  it('shows the numbers of the API, over the days of the event', async () => {
    const asked = answer(event);
    open('/people/1');
    expect(await screen.findByText(/Ada met 1 person/)).toHaveTextContent('Most time with Grace Hopper: 1 h 12 min.');
    const question = asked.find(({ path }) => path === '/api/persons/1/connections')?.query;
    expect(Object.fromEntries(question ?? [])).toEqual({
      start_date: '2026-06-01T00:00:00Z',
      end_date: '2026-06-04T00:00:00Z',
      distance: '10',
      within: '300',
      gap: '600',
      limit: '100',
    });
  });

  it('is asked for by day and nearness', async () => {
    const user = userEvent.setup();
    const asked = answer(event);
    const router = open('/people/1');
    await user.click(await screen.findByRole('radio', { name: 'Tue 2 Jun' }));
    await waitFor(() => {
      expect(asked.at(-1)?.query.get('start_date')).toBe('2026-06-02T00:00:00Z');
      expect(asked.at(-1)?.query.get('end_date')).toBe('2026-06-03T00:00:00Z');
    });
    await user.click(screen.getByRole('radio', { name: 'Arm’s reach' }));
    expect(await screen.findByRole('heading', { name: 'Ada met nobody like this' })).toBeVisible();
    expect(router.state.location.search).toBe('?from=2026-06-02&near=arm&tz=UTC');
    // What it offers is wider.
    const state = screen.getByRole('heading', { name: 'Ada met nobody like this' }).parentElement;
    await user.click(within(state ?? document.body).getByRole('button', { name: 'Same booth' }));
    expect(await screen.findByText(/Ada met 1 person/)).toBeVisible();
  });

  it('is asked for by exact metres and minutes, with a gap that the API takes', async () => {
    const user = userEvent.setup();
    const asked = answer(event);
    open('/people/1');
    await user.click(await screen.findByRole('radio', { name: 'Exact…' }));
    const metres = screen.getByRole('textbox', { name: 'Metres' });
    await user.clear(metres);
    expect(metres).toBeInvalid();
    await user.type(metres, '12,5');
    const minutes = screen.getByRole('textbox', { name: 'Minutes apart' });
    await user.clear(minutes);
    await user.type(minutes, '30');
    await waitFor(() => {
      const { distance, within: window, gap } = Object.fromEntries(asked.at(-1)?.query ?? []);
      expect({ distance, window, gap }).toEqual({ distance: '12.5', window: '1800', gap: '1800' });
    });
  });

  it('keeps dates that are no range as they were typed, says so, and does not ask', async () => {
    const user = userEvent.setup();
    const asked = answer(event);
    const router = open('/people/1');
    await user.click(await screen.findByRole('radio', { name: 'Other dates' }));
    const from = screen.getByLabelText('From');
    const questions = asked.length;
    for (const [typed, said] of [
      ['2026-06-09', /This is after “To”/],
      ['', /Give a whole date/],
    ] as const) {
      fireEvent.change(from, { target: { value: typed } });
      // Nothing is wrong with what is half typed.
      expect(from).toBeValid();
      fireEvent.blur(from);
      expect(from).toHaveAccessibleDescription(said);
      expect(from).toBeInvalid();
      expect(from).toHaveValue(typed);
    }
    // The first digits of a year are years.
    for (const typed of ['0002-06-02', '0020-06-02', '0202-06-02', '2026-06-02'])
      fireEvent.change(from, { target: { value: typed } });
    expect(asked).toHaveLength(questions);
    await waitFor(() => {
      expect(router.state.location.search).toBe('?from=2026-06-02&to=2026-06-03&tz=UTC');
    });
    await waitFor(() => {
      expect(asked).toHaveLength(questions + 1);
    });
  });

  it('says what is wrong with the dates of an address', async () => {
    answer(event);
    open('/people/1?from=2026-06-03&to=2026-06-01');
    expect(await screen.findByLabelText('To')).toHaveAccessibleDescription(/This is before “From”/);
    expect(screen.getByLabelText('From')).toHaveValue('2026-06-03');
  });

  it('is told in plain words what went wrong', async () => {
    for (const [said, title] of [
      [{ status: 400, body: { detail: 'person 1 has more than 50000 locations' } }, 'That is too much at once'],
      [
        { status: 400, body: { errors: [{ field: 'start_date', message: 'got "+10000"' }] } },
        'This cannot be looked up',
      ],
      [{ status: 500, body: { detail: 'relation "x" does not exist' } }, 'Something went wrong'],
      [{ status: 503, body: {} }, 'UdaConnect is busy'],
    ] as const) {
      answer((one) => (one.path.endsWith('/connections') ? said : event(one)));
      open('/people/1');
      const heading = await screen.findByRole('heading', { level: 2, name: title });
      expect(heading.parentElement).not.toHaveTextContent(/\d|relation|start_date/);
      cleanup();
    }
  });

  it('without locations is told from one who met nobody', async () => {
    answer((asked) => (asked.path.endsWith('/days') ? { body: [] } : event(asked)));
    open('/people/1');
    expect(await screen.findByRole('heading', { name: 'No locations of Ada yet' })).toBeVisible();
  });

  it('who is unknown is said so, and what cannot be a number of anybody is not asked for', async () => {
    const asked = answer(event);
    const ids = ['99', '0', 'x', '-1', '1e3', '9223372036854775807', '99999999999999999999'];
    const views = ['/map', '/record', '/with/1'];
    for (const path of [...ids, ...views.flatMap((view) => [`99${view}`, `9223372036854775808${view}`])]) {
      open(`/people/${path}`);
      expect(await screen.findByRole('heading', { level: 2, name: 'Nobody has this number' })).toBeVisible();
      expect(document.title).toBe('Nobody has this number · UdaConnect');
      expect(document.querySelector('main')).not.toHaveTextContent(path.split('/')[0] ?? '');
      cleanup();
    }
    expect(new Set(asked.map(({ path }) => path.split('/')[3]))).toEqual(new Set(['99', '1']));
  });

  it('who has one location of today still shows the event, and today is one tap away', async () => {
    const user = userEvent.setup();
    const days = [...DAYS, { date: '2026-11-25', locations: 1 }];
    const asked = answer((one) => (one.path.endsWith('/days') ? { body: days } : event(one)));
    const router = open('/people/1');
    expect(await screen.findByText(/Ada met 1 person/)).toBeVisible();
    expect(screen.getByText(/Shown: 1\s?–\s?3 June 2026. Ada was also seen on other days:/)).toBeVisible();
    await user.click(screen.getByRole('button', { name: 'Wednesday 25 November 2026' }));
    expect(router.state.location.search).toBe('?from=2026-11-25&tz=UTC');
    await waitFor(() => {
      expect(asked.at(-1)?.query.get('start_date')).toBe('2026-11-25T00:00:00Z');
    });
    await user.click(await screen.findByRole('button', { name: /1\s?–\s?3 June 2026/ }));
    expect(router.state.location.search).toBe('');
    expect(screen.getByRole('button', { name: 'Wednesday 25 November 2026' })).toBeVisible();
  });
});

describe('two people', () => {
  it('have their encounters listed and summed up', async () => {
    answer(event);
    open('/people/1/with/2');
    expect(await screen.findByRole('heading', { name: 'Ada Lovelace and Grace Hopper' })).toBeVisible();
    const encounter = await screen.findByRole('button', { name: /Tue 2 Jun, 10:00 – 10:20/ });
    expect(encounter).toHaveTextContent('20 min, 73 cm at the nearest');
  });

  it('keep the chosen encounter in the address', async () => {
    const user = userEvent.setup();
    answer(event);
    const router = open('/people/1/with/2');
    const encounter = await screen.findByRole('button', { name: /10:00 – 10:20/ });
    await user.click(encounter);
    expect(encounter).toHaveAttribute('aria-pressed', 'true');
    expect(new URLSearchParams(router.state.location.search).get('at')).toBe('2026-06-02T10:00:00Z');
  });
});

describe('adding a person', () => {
  it('shows what the server refuses beside the field, and then goes on', async () => {
    const user = userEvent.setup();
    const errors = [{ field: 'last_name', message: 'must not be empty' }];
    answer((asked) =>
      asked.method === 'POST'
        ? { status: 400, body: { status: 400, title: 'Bad Request', detail: 'last_name must not be empty', errors } }
        : event(asked),
    );
    const router = open('/add');
    await user.type(screen.getByLabelText('First name'), 'Ada');
    await user.click(screen.getByRole('button', { name: 'Add' }));
    const field = screen.getByLabelText('Last name');
    await waitFor(() => {
      expect(field).toHaveAccessibleDescription('must not be empty');
    });
    expect(field).toBeInvalid();
    expect(field).toHaveFocus();

    const asked = answer((one) => (one.method === 'POST' ? { status: 201, body: ada } : event(one)));
    await user.type(field, 'Lovelace');
    await user.type(screen.getByLabelText('Company'), 'Analytical Engines');
    await user.click(screen.getByRole('button', { name: 'Add' }));
    expect(await screen.findByText('Ada Lovelace was added.')).toBeVisible();
    expect(router.state.location.pathname).toBe('/people/1');
    expect(asked.find(({ method }) => method === 'POST')?.body).toEqual({
      first_name: 'Ada',
      last_name: 'Lovelace',
      company_name: 'Analytical Engines',
    });
  });
});

describe('recording a location', () => {
  it('sends numbers as numbers, and what is none as it was typed', async () => {
    const user = userEvent.setup();
    const asked = answer((one) =>
      one.method === 'POST' ? { status: 202, body: { receipt: 'locations-3-17' } } : event(one),
    );
    const router = open('/people/1/record');
    await user.type(await screen.findByLabelText('Latitude'), '35,0872');
    await user.type(screen.getByLabelText('Longitude'), 'west');
    await user.click(screen.getByRole('button', { name: 'Record' }));
    expect(await screen.findByText(/is on its way/)).toBeVisible();
    expect(router.state.location.pathname).toBe('/people/1');
    expect(asked.find(({ method }) => method === 'POST')?.body).toEqual({
      person_id: 1,
      latitude: 35.0872,
      longitude: 'west',
    });
  });
});
