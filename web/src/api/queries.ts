import { infiniteQueryOptions, QueryClient, queryOptions } from '@tanstack/react-query';
import * as v from 'valibot';
import { addDays, candidateDays, dayStart, toApi, type Day } from '../lib/time';
import type { Meeting, Range } from '../lib/search';
import { address, ApiError, get, getPage, post } from './client';
import {
  ConnectionSchema,
  DaySchema,
  EncounterSchema,
  LocationSchema,
  PersonSchema,
  ReceiptSchema,
  type Connection,
  type Person,
  type PersonLocation,
} from './schema';

const PAGE = 100;
/** A day is drawn from at most this many locations: one every 2 seconds, all day long. */
const MAX_DRAWN = 43_200;
/** How many doubtful days are asked for one by one. */
const MAX_PROBES = 12;
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

function limits(range: Range, zone: string) {
  return {
    start_date: toApi(dayStart(range.from, zone)),
    end_date: toApi(dayStart(addDays(range.to, 1), zone)),
  };
}

/** The days in `zone` on which the person has locations, oldest first. */
export function daysQuery(id: string, zone: string) {
  return queryOptions({
    queryKey: ['days', id, zone],
    queryFn: async ({ signal }): Promise<Day[]> => {
      const utc = await get(address(`/api/persons/${encodeURIComponent(id)}/days`), v.array(DaySchema), signal);
      const days = candidateDays(
        utc.map((day) => day.date),
        zone,
      );
      const doubtful = days.filter((day) => !day.certain);
      if (doubtful.length > MAX_PROBES) return days.map((day) => day.day);
      const kept = await Promise.all(
        days.map(async ({ day, certain }) => {
          if (certain) return true;
          const url = locations(id)({ ...limits({ from: day, to: day }, zone), limit: 1 });
          return (await getPage(url, LocationSchema, signal)).items.length > 0;
        }),
      );
      return days.filter((_, index) => kept[index]).map((day) => day.day);
    },
  });
}

/** The API refuses a gap shorter than the window. */
function meeting({ distance, minutes }: Meeting) {
  const within = minutes * 60;
  return { distance, within, gap: Math.max(600, within) };
}

/** Whom the person met, most time together first. */
export function connectionsQuery(id: string, range: Range, zone: string, how: Meeting, atLeast: number) {
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

/** The encounters of two persons, oldest first. */
export function encountersQuery(id: string, other: string, range: Range, zone: string, how: Meeting) {
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
