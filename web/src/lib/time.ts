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

/** Whether the text is a day of the calendar: `2026-02-30` is not. */
export function isDay(text: string): boolean {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return false;
  const time = Date.parse(`${text}T00:00:00Z`);
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(text);
}

function parts(day: Day): [number, number, number] {
  return [Number(day.slice(0, 4)), Number(day.slice(5, 7)), Number(day.slice(8, 10))];
}

/** The day in `zone` that holds the instant (a `Date` or milliseconds since 1970). */
export function dayOf(instant: Date | number, zone: string): Day {
  const local = new TZDate(+instant, zone);
  const pad = (value: number, length = 2) => String(value).padStart(length, '0');
  return `${pad(local.getFullYear(), 4)}-${pad(local.getMonth() + 1)}-${pad(local.getDate())}`;
}

/** The instant at which the day begins in `zone`. */
export function dayStart(day: Day, zone: string): Date {
  const [year, month, date] = parts(day);
  return new Date(+new TZDate(year, month - 1, date, 0, 0, 0, zone));
}

/** The day that is `days` later; earlier when negative. */
export function addDays(day: Day, days: number): Day {
  const [year, month, date] = parts(day);
  return new Date(Date.UTC(year, month - 1, date + days)).toISOString().slice(0, 10);
}

/** How many days lie between the two; negative when `to` is earlier. */
export function daysBetween(from: Day, to: Day): number {
  return Math.round((Date.parse(`${to}T00:00:00Z`) - Date.parse(`${from}T00:00:00Z`)) / MS_PER_DAY);
}

/** The instant of a wall clock time `YYYY-MM-DDThh:mm` in `zone`, as a date-time input gives it. */
export function instantOf(local: string, zone: string): Date {
  const [year, month, date] = parts(local);
  return new Date(+new TZDate(year, month - 1, date, Number(local.slice(11, 13)), Number(local.slice(14, 16)), zone));
}

/** An instant as the API takes it. */
export function toApi(instant: Date): string {
  return instant.toISOString().replace('.000Z', 'Z');
}

/** A day in the page's time zone, and whether it surely has locations or must be asked for. */
export interface CandidateDay {
  day: Day;
  certain: boolean;
}

/**
 * The days in `zone` that the given UTC days with locations may stand for, oldest first.
 *
 * A local day that is covered only in part by UTC days with locations may have none itself.
 */
export function candidateDays(utcDays: readonly Day[], zone: string): CandidateDay[] {
  const known = new Set(utcDays);
  const days = new Set<Day>();
  for (const utc of utcDays) {
    const start = Date.parse(`${utc}T00:00:00Z`);
    days.add(dayOf(start, zone));
    days.add(dayOf(start + MS_PER_DAY - 1, zone));
  }
  return [...days].sort().map((day) => {
    const first = dayStart(day, zone).toISOString().slice(0, 10);
    const last = new Date(+dayStart(addDays(day, 1), zone) - 1).toISOString().slice(0, 10);
    return { day, certain: known.has(first) && known.has(last) };
  });
}

/** The last run of days whose neighbours are at most a week apart: the event. */
export function lastEvent(days: readonly Day[]): Day[] {
  let start = days.length - 1;
  while (start > 0 && daysBetween(days[start - 1] ?? '', days[start] ?? '') <= 7) start -= 1;
  return days.slice(Math.max(start, 0));
}
