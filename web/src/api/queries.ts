import { infiniteQueryOptions, QueryClient, queryOptions } from '@tanstack/react-query';
import * as v from 'valibot';
import { dayEnd, dayStart, toApi, type DayCount } from '../lib/time';
import type { Meeting, Range } from '../lib/search';
import { api, ApiError, ask, askPage, type Page } from './client';
import type { components, paths } from './openapi';
import {
  ConnectionSchema,
  DaySchema,
  DetailedConnectionSchema,
  EncounterSchema,
  LocationSchema,
  PersonSchema,
  ReceiptSchema,
  type Connection,
  type Encounter,
  type NewLocation,
  type NewPerson,
  type Person,
  type PersonLocation,
} from './schema';

const PAGE = 100;
/** A day is drawn from at most this many locations: one every 2 seconds, all day long. */
const MAX_DRAWN = 43_200;
/** A day is drawn with at most this many encounters. */
const MAX_ENCOUNTERS = 20_000;
/** A client that failed asks again this often, in milliseconds. */
const AGAIN_MS = 4_000;

/** What all questions share: they are repeated while that may help, and heal by themselves when the API is back. */
export function makeQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        staleTime: 30_000,
        gcTime: 10 * 60_000,
        retry: (failures, error) => error instanceof ApiError && error.passing && failures < 2,
        retryDelay: (attempt, error) =>
          error instanceof ApiError && error.retryAfter !== undefined
            ? Math.min(error.retryAfter, 30) * 1_000
            : 400 * 2 ** attempt,
        refetchInterval: (query) =>
          query.state.status === 'error' && query.state.error instanceof ApiError && query.state.error.passing
            ? AGAIN_MS
            : false,
      },
    },
  });
}

/** Where a list begins. */
const FIRST: string | undefined = undefined;

/** A person's id as it stands in the page's address; of one that is no number the server says so. */
const byId = (id: string) => ({ id: id as unknown as number });

export function peopleQuery(q: string) {
  return infiniteQueryOptions({
    queryKey: ['people', q],
    queryFn: ({ pageParam: cursor, signal }) =>
      askPage(
        (how) => api.GET('/api/persons', { ...how, params: { query: { q: q || undefined, limit: PAGE, cursor } } }),
        PersonSchema,
        signal,
      ),
    initialPageParam: FIRST,
    getNextPageParam: (page) => page.next,
    // Asking anew means every page that was loaded, which may be hundreds.
    staleTime: 10 * 60_000,
    refetchOnWindowFocus: false,
    refetchOnReconnect: false,
  });
}

export function personQuery(id: string) {
  return queryOptions({
    queryKey: ['person', id],
    queryFn: ({ signal }) =>
      ask((how) => api.GET('/api/persons/{id}', { ...how, params: { path: byId(id) } }), PersonSchema, signal),
    staleTime: 5 * 60_000,
  });
}

/** A range that is not known yet is not asked for. */
function limits(range: Range | null, zone: string) {
  if (!range) return {};
  return {
    start_date: toApi(dayStart(range.from, zone)),
    end_date: toApi(dayEnd(range.to, zone)),
  };
}

/** The days in `zone` on which the person has locations, oldest first. */
export function daysQuery(id: string, zone: string) {
  return queryOptions({
    queryKey: ['days', id, zone],
    queryFn: async ({ signal }): Promise<DayCount[]> => {
      const days = await ask(
        (how) => api.GET('/api/persons/{id}/days', { ...how, params: { path: byId(id), query: { tz: zone } } }),
        v.array(DaySchema),
        signal,
      );
      return days.map(({ date, locations }) => ({ day: date, locations }));
    },
  });
}

/** The API refuses a gap shorter than the window. */
function meeting({ distance, minutes }: Meeting) {
  const within = minutes * 60;
  return { distance, within: String(within), gap: String(Math.max(600, within)) };
}

/** Whom the person met, most time together first. */
export function connectionsQuery(id: string, range: Range | null, zone: string, how: Meeting, atLeast: number) {
  return infiniteQueryOptions({
    queryKey: ['connections', id, range, zone, how, atLeast],
    queryFn: ({ pageParam: cursor, signal }): Promise<Page<Connection>> => {
      const query = {
        ...limits(range, zone),
        ...meeting(how),
        min_duration: atLeast > 0 ? String(atLeast * 60) : undefined,
        limit: PAGE,
        cursor,
      };
      return askPage(
        (by) => api.GET('/api/persons/{id}/connections', { ...by, params: { path: byId(id), query } }),
        ConnectionSchema,
        signal,
      );
    },
    initialPageParam: FIRST,
    getNextPageParam: (page) => page.next,
  });
}

/** One encounter of a day, and with whom. */
export interface Met {
  id: string;
  person: Person;
  encounter: Encounter;
}

type ConnectionsQuery = NonNullable<paths['/api/persons/{id}/connections']['get']['parameters']['query']>;

function metPage(id: string, query: ConnectionsQuery, signal: AbortSignal) {
  return askPage(
    (by) => api.GET('/api/persons/{id}/connections', { ...by, params: { path: byId(id), query } }),
    DetailedConnectionSchema,
    signal,
  );
}

/** Every encounter of the range, with whomever, oldest first; cut after `MAX_ENCOUNTERS`. */
export function metQuery(id: string, range: Range, zone: string, how: Meeting) {
  return queryOptions({
    queryKey: ['met', id, range, zone, how],
    queryFn: async ({ signal }) => {
      const met: Met[] = [];
      const query = { ...limits(range, zone), ...meeting(how), include: 'encounters', limit: 1_000 };
      let cursor: string | undefined;
      do {
        const page = await metPage(id, { ...query, cursor }, signal);
        for (const { person, met: encounters } of page.items) {
          if (!encounters) throw new ApiError('unexpected', 'encounters were asked for and did not come');
          for (const encounter of encounters)
            met.push({ id: `${person.id}-${encounter.start.getTime()}`, person, encounter });
        }
        cursor = page.next;
      } while (cursor !== undefined && met.length < MAX_ENCOUNTERS);
      met.sort((a, b) => +a.encounter.start - +b.encounter.start || a.person.id - b.person.id);
      return { met, truncated: cursor !== undefined };
    },
  });
}

/** The encounters of two persons, oldest first. */
export function encountersQuery(id: string, other: string, range: Range | null, zone: string, how: Meeting) {
  return queryOptions({
    queryKey: ['encounters', id, other, range, zone, how],
    queryFn: ({ signal }) =>
      ask(
        (by) =>
          api.GET('/api/persons/{id}/connections/{other_id}', {
            ...by,
            params: {
              path: { ...byId(id), other_id: byId(other).id },
              query: { ...limits(range, zone), ...meeting(how) },
            },
          }),
        v.array(EncounterSchema),
        signal,
      ),
  });
}

type LocationsQuery = NonNullable<paths['/api/persons/{id}/locations']['get']['parameters']['query']>;

function trackPage(id: string, query: LocationsQuery, signal: AbortSignal) {
  return askPage(
    (by) => api.GET('/api/persons/{id}/locations', { ...by, params: { path: byId(id), query } }),
    LocationSchema,
    signal,
  );
}

/** Where the person was in the range, oldest first; cut after `MAX_DRAWN` locations. */
export function trackQuery(id: string, range: Range, zone: string) {
  return queryOptions({
    queryKey: ['track', id, range, zone],
    queryFn: async ({ signal }) => {
      const items: PersonLocation[] = [];
      let cursor: string | undefined;
      do {
        const page = await trackPage(id, { ...limits(range, zone), limit: 10_000, cursor }, signal);
        items.push(...page.items);
        cursor = page.next;
      } while (cursor !== undefined && items.length < MAX_DRAWN);
      return { items, truncated: cursor !== undefined };
    },
  });
}

export async function addPerson(person: NewPerson): Promise<Person> {
  return ask((how) => api.POST('/api/persons', { ...how, body: person }), PersonSchema);
}

/** The stored location, or null when it is queued and will be stored in a moment. */
export async function recordLocation(location: NewLocation): Promise<PersonLocation | null> {
  const body = location as components['schemas']['NewLocation'];
  const answer = await ask(
    (how) => api.POST('/api/locations', { ...how, body }),
    v.union([LocationSchema, ReceiptSchema]),
  );
  return 'receipt' in answer ? null : answer;
}
