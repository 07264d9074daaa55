import { infiniteQueryOptions, QueryClient, queryOptions } from '@tanstack/react-query';
import * as v from 'valibot';
import { dayEnd, dayStart, toApi, type DayCount } from '../lib/time';
import type { Meeting, Range } from '../lib/search';
import { address, ApiError, get, getPage, post, type Page } from './client';
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

export function peopleQuery(q: string) {
  return infiniteQueryOptions({
    queryKey: ['people', q],
    queryFn: ({ pageParam, signal }) => getPage(pageParam, PersonSchema, signal),
    initialPageParam: address('/api/persons', { q: q || undefined, limit: PAGE }),
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
    queryFn: ({ signal }) => get(address(`/api/persons/${encodeURIComponent(id)}`), PersonSchema, signal),
    staleTime: 5 * 60_000,
  });
}

const locations = (id: string) => address.bind(null, `/api/persons/${encodeURIComponent(id)}/locations`);

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
      const url = address(`/api/persons/${encodeURIComponent(id)}/days`, { tz: zone });
      return (await get(url, v.array(DaySchema), signal)).map(({ date, locations }) => ({ day: date, locations }));
    },
  });
}

/** The API refuses a gap shorter than the window. */
function meeting({ distance, minutes }: Meeting) {
  const within = minutes * 60;
  return { distance, within, gap: Math.max(600, within) };
}

/** Whom the person met, most time together first. */
export function connectionsQuery(id: string, range: Range | null, zone: string, how: Meeting, atLeast: number) {
  return infiniteQueryOptions({
    queryKey: ['connections', id, range, zone, how, atLeast],
    queryFn: ({ pageParam, signal }) => getPage<Connection>(pageParam, ConnectionSchema, signal),
    initialPageParam: address(`/api/persons/${encodeURIComponent(id)}/connections`, {
      ...limits(range, zone),
      ...meeting(how),
      min_duration: atLeast > 0 ? atLeast * 60 : undefined,
      limit: PAGE,
    }),
    getNextPageParam: (page) => page.next,
  });
}

/** One encounter of a day, and with whom. */
export interface Met {
  id: string;
  person: Person;
  encounter: Encounter;
}

/** Every encounter of the range, with whomever, oldest first; cut after `MAX_ENCOUNTERS`. */
export function metQuery(id: string, range: Range, zone: string, how: Meeting) {
  return queryOptions({
    queryKey: ['met', id, range, zone, how],
    queryFn: async ({ signal }) => {
      const met: Met[] = [];
      let url: string | undefined = address(`/api/persons/${encodeURIComponent(id)}/connections`, {
        ...limits(range, zone),
        ...meeting(how),
        include: 'encounters',
        limit: 1_000,
      });
      while (url !== undefined && met.length < MAX_ENCOUNTERS) {
        const page: Page<v.InferOutput<typeof DetailedConnectionSchema>> = await getPage(
          url,
          DetailedConnectionSchema,
          signal,
        );
        for (const { person, met: encounters } of page.items)
          for (const encounter of encounters)
            met.push({ id: `${person.id}-${encounter.start.getTime()}`, person, encounter });
        url = page.next;
      }
      met.sort((a, b) => +a.encounter.start - +b.encounter.start || a.person.id - b.person.id);
      return { met, truncated: url !== undefined };
    },
  });
}

/** The encounters of two persons, oldest first. */
export function encountersQuery(id: string, other: string, range: Range | null, zone: string, how: Meeting) {
  return queryOptions({
    queryKey: ['encounters', id, other, range, zone, how],
    queryFn: ({ signal }) =>
      get(
        address(`/api/persons/${encodeURIComponent(id)}/connections/${encodeURIComponent(other)}`, {
          ...limits(range, zone),
          ...meeting(how),
        }),
        v.array(EncounterSchema),
        signal,
      ),
  });
}

/** Where the person was in the range, oldest first; cut after `MAX_DRAWN` locations. */
export function trackQuery(id: string, range: Range, zone: string) {
  return queryOptions({
    queryKey: ['track', id, range, zone],
    queryFn: async ({ signal }) => {
      const items: PersonLocation[] = [];
      let url: string | undefined = locations(id)({ ...limits(range, zone), limit: 10_000 });
      while (url !== undefined && items.length < MAX_DRAWN) {
        const page: { items: PersonLocation[]; next: string | undefined } = await getPage(url, LocationSchema, signal);
        items.push(...page.items);
        url = page.next;
      }
      return { items, truncated: url !== undefined };
    },
  });
}

export interface NewPerson {
  first_name: string;
  last_name: string;
  company_name: string;
}

export async function addPerson(person: NewPerson): Promise<Person> {
  return (await post(address('/api/persons'), person, PersonSchema)).body;
}

/** A location as it was typed; what is no number stays text, so that the server's words tell what is wrong with it. */
export interface NewLocation {
  person_id: number;
  latitude: number | string;
  longitude: number | string;
  creation_time?: string;
  accuracy_m?: number | string;
}

/** The stored location, or null when it is queued and will be stored in a moment. */
export async function recordLocation(location: NewLocation): Promise<PersonLocation | null> {
  const { body } = await post(address('/api/locations'), location, v.union([LocationSchema, ReceiptSchema]));
  return 'receipt' in body ? null : body;
}
