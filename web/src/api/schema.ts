import * as v from 'valibot';
import type { components } from './openapi';

// What the API's document says of its answers is in openapi.ts. Here it is checked when they arrive, and times become dates;
// what is no longer as the document says does not compile where it is asked for (client.ts).

type Schemas = components['schemas'];

const Instant = v.pipe(
  v.string(),
  v.transform((value) => new Date(value)),
  v.check((date) => !Number.isNaN(date.getTime()), 'is no time'),
);

export const PersonSchema = v.object({
  id: v.number(),
  first_name: v.string(),
  last_name: v.string(),
  company_name: v.string(),
});
/** An attendee. */
export type Person = Schemas['Person'];
/** An attendee to be. */
export type NewPerson = Schemas['NewPerson'];

export const LocationSchema = v.object({
  id: v.number(),
  person_id: v.number(),
  latitude: v.number(),
  longitude: v.number(),
  creation_time: Instant,
  accuracy_m: v.nullish(v.number(), null),
});
/** One fix of one person. */
export type PersonLocation = v.InferOutput<typeof LocationSchema>;
/** A location as it was typed; what is no number stays text, so that the server's words tell what is wrong with it. */
export type NewLocation = Omit<Schemas['NewLocation'], 'latitude' | 'longitude' | 'accuracy_m'> & {
  latitude: number | string;
  longitude: number | string;
  accuracy_m?: number | string;
};

export const DaySchema = v.object({ date: v.string(), locations: v.number() });

const ClosestSchema = v.object({
  distance_m: v.number(),
  time: Instant,
  latitude: v.number(),
  longitude: v.number(),
});

export const EncounterSchema = v.object({
  start: Instant,
  end: Instant,
  duration: v.number(),
  closest_m: v.number(),
  closest: ClosestSchema,
});
/** One time that two persons were together. Duration in seconds. */
export type Encounter = v.InferOutput<typeof EncounterSchema>;

export const ConnectionSchema = v.object({
  person: PersonSchema,
  encounters: v.number(),
  total_duration: v.number(),
  first_met: Instant,
  last_met: Instant,
  closest_m: v.number(),
  closest: ClosestSchema,
});
/** Somebody met: all encounters in a range, summed up. Durations in seconds. */
export type Connection = v.InferOutput<typeof ConnectionSchema>;

/** Somebody met, and each time that they were together, oldest first: there when it was asked for. */
export const DetailedConnectionSchema = v.object({ person: PersonSchema, met: v.optional(v.array(EncounterSchema)) });

export const ReceiptSchema = v.object({ receipt: v.string() });

/** RFC 9457, with the fields that were wrong. */
export const ProblemSchema = v.object({
  title: v.nullish(v.string(), ''),
  detail: v.nullish(v.string(), ''),
  errors: v.nullish(v.array(v.object({ field: v.string(), message: v.string() })), []),
});
