import { TZDate } from '@date-fns/tz';

/** A calendar day, `YYYY-MM-DD`, in the time zone that the page shows. */
export type Day = string;

const MS_PER_DAY = 86_400_000;

/** Whether the browser knows the IANA time zone, for example `Europe/Berlin`. */
export function isTimeZone(zone: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: zone });
    return true;
  } catch {
    return false;
  }
}

/** The time zone that the device is set to. */
export function deviceZone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
}

/** Whether the text is a day of the calendar, from the year 1 on: `2026-02-30` is not. */
export function isDay(text: string): boolean {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text) || text.startsWith('0000')) return false;
  const time = Date.parse(`${text}T00:00:00Z`);
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(text);
}

function parts(day: Day): [number, number, number] {
  const [year = NaN, month = NaN, date = NaN] = (day.split('T')[0] ?? '').split('-').map(Number);
  return [year, month, date];
}

const pad = (value: number, length = 2) => String(value).padStart(length, '0');

/** The calendar repeats itself after this many years, which are this many days. */
const CYCLE_YEARS = 400;
const CYCLE_DAYS = 146_097;

/**
 * The instant of a wall clock time in `zone`. `Date` takes the years 0 to 99 for 1900 to 1999, so those are looked up one
 * cycle of the calendar later.
 */
function local(year: number, month: number, date: number, hour: number, minute: number, zone: string): Date {
  const early = year < 100;
  const time = +new TZDate(early ? year + CYCLE_YEARS : year, month - 1, date, hour, minute, 0, zone);
  return new Date(early ? time - CYCLE_DAYS * MS_PER_DAY : time);
}

/** The day in `zone` that holds the instant (a `Date` or milliseconds since 1970). */
export function dayOf(instant: Date | number, zone: string): Day {
  const there = new TZDate(+instant, zone);
  return `${pad(there.getFullYear(), 4)}-${pad(there.getMonth() + 1)}-${pad(there.getDate())}`;
}

/** The instant at which the day begins in `zone`. */
export function dayStart(day: Day, zone: string): Date {
  const [year, month, date] = parts(day);
  return local(year, month, date, 0, 0, zone);
}

/** The instant at which the day ends in `zone`, which is the next one's begin. */
export function dayEnd(day: Day, zone: string): Date {
  return dayStart(addDays(day, 1), zone);
}

/** The day that is `days` later; earlier when negative. Past the year 9999 it has a longer year. */
export function addDays(day: Day, days: number): Day {
  const [year, month, date] = parts(day);
  const moved = new Date(0);
  moved.setUTCFullYear(year, month - 1, date + days);
  return `${pad(moved.getUTCFullYear(), 4)}-${pad(moved.getUTCMonth() + 1)}-${pad(moved.getUTCDate())}`;
}

/** How many days lie between the two; negative when `to` is earlier. */
export function daysBetween(from: Day, to: Day): number {
  return Math.round((Date.parse(`${to}T00:00:00Z`) - Date.parse(`${from}T00:00:00Z`)) / MS_PER_DAY);
}

/** A wall clock time as a date-time input gives it. */
const WALL_CLOCK = /^(\d{4}-\d{2}-\d{2})T(\d{2}):(\d{2})/;

/** The instant of a wall clock time `YYYY-MM-DDThh:mm` in `zone`, as a date-time input gives it. */
export function instantOf(wallClock: string, zone: string): Date {
  const [year, month, date] = parts(wallClock);
  return local(year, month, date, Number(wallClock.slice(11, 13)), Number(wallClock.slice(14, 16)), zone);
}

/** Minutes by which the clocks of `zone` are ahead of UTC at the instant. */
function offsetMinutes(instant: Date | number, zone: string): number {
  return -new TZDate(+instant, zone).getTimezoneOffset();
}

/**
 * Every instant at which the clocks of `zone` show the wall clock time, earliest first: none where they are put forward
 * over it, two where they are put back. None as well when the text is no time.
 */
export function instantsOf(wallClock: string, zone: string): Date[] {
  const found = WALL_CLOCK.exec(wallClock);
  if (!found || !isDay(found[1] ?? '')) return [];
  const utc = Date.parse(`${wallClock.slice(0, 16)}:00Z`);
  const offsets = new Set([utc - MS_PER_DAY, utc + MS_PER_DAY].map((near) => offsetMinutes(near, zone)));
  return [...offsets]
    .map((offset) => utc - offset * 60_000)
    .filter((instant) => Math.abs(instant + offsetMinutes(instant, zone) * 60_000 - utc) < 60_000)
    .sort((a, b) => a - b)
    .map((instant) => new Date(instant));
}

/** An instant for the address of a page: the wall clock of `zone` to the minute, and its offset. Elsewhere it is the same. */
export function writeInstant(instant: Date | number, zone: string): string {
  const offset = Math.round(offsetMinutes(instant, zone));
  const wallClock = new Date(+instant + offset * 60_000).toISOString().slice(0, 16);
  if (offset === 0) return `${wallClock}Z`;
  const away = Math.abs(offset);
  return `${wallClock}${offset < 0 ? '-' : '+'}${pad(Math.floor(away / 60))}:${pad(away % 60)}`;
}

/** Reads what `writeInstant` wrote; null for anything else. */
export function readInstant(text: string): Date | null {
  // A plus that was not encoded arrives as a blank.
  const found = /^(\d{4}-\d{2}-\d{2})T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[-+ ]\d{2}:\d{2})$/.exec(text);
  if (!found || !isDay(found[1] ?? '')) return null;
  const time = Date.parse(text.replace(' ', '+'));
  return Number.isNaN(time) ? null : new Date(time);
}

/** The instants that the API knows: years of four digits. */
const FIRST_MS = Date.parse('0000-01-01T00:00:00Z');
const LAST = '9999-12-31T23:59:59.999999Z';

/** An instant as the API takes it; the nearest one that it takes when it lies outside. */
export function toApi(instant: Date): string {
  if (+instant > Date.parse('9999-12-31T23:59:59.999Z')) return LAST;
  return new Date(Math.max(+instant, FIRST_MS)).toISOString().replace('.000Z', 'Z');
}

/** A day on which a person has locations, and how many. */
export interface DayCount {
  day: Day;
  locations: number;
}

/** Days that follow each other, at most a week apart. */
export interface Run {
  days: Day[];
  locations: number;
}

/** The runs of days whose neighbours are at most a week apart, oldest first. The days must be ordered. */
export function runsOf(days: readonly DayCount[]): Run[] {
  const runs: Run[] = [];
  for (const { day, locations } of days) {
    const run = runs.at(-1);
    if (run && daysBetween(run.days.at(-1) ?? '', day) <= 7) {
      run.days.push(day);
      run.locations += locations;
    } else runs.push({ days: [day], locations });
  }
  return runs;
}

/**
 * The run of most locations, which is taken for the event; of equal ones the last. A single location that is recorded
 * now does not replace three days of them.
 */
export function eventOf(runs: readonly Run[]): Run | undefined {
  return runs.reduce<Run | undefined>((best, run) => (best && best.locations > run.locations ? best : run), undefined);
}
