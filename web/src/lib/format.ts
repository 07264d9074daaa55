import { LOCALE } from '../text';
import type { Day } from './time';

const formats = new Map<string, Intl.DateTimeFormat>();

// Making one takes longer than using it a hundred times.
function format(zone: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = zone + JSON.stringify(options);
  let found = formats.get(key);
  if (!found) {
    found = new Intl.DateTimeFormat(LOCALE, { ...options, timeZone: zone });
    formats.set(key, found);
  }
  return found;
}

/** Hour and minute: `10:05`. */
export function clock(instant: Date | number, zone: string): string {
  return format(zone, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }).format(instant);
}

/** Day and time: `Tue 2 Jun, 10:05`. */
export function moment(instant: Date | number, zone: string): string {
  return `${plainDay(format(zone, { weekday: 'short', day: 'numeric', month: 'short' }), instant)}, ${clock(instant, zone)}`;
}

// English puts a comma behind the weekday that only costs room here.
function plainDay(formatter: Intl.DateTimeFormat, instant: Date | number): string {
  return formatter.format(instant).replace(/^(\p{L}+), /u, '$1 ');
}

function utcNoon(day: Day): number {
  return Date.parse(`${day}T12:00:00Z`);
}

/** A day in short: `Tue 2 Jun`. */
export function dayShort(day: Day): string {
  return plainDay(format('UTC', { weekday: 'short', day: 'numeric', month: 'short' }), utcNoon(day));
}

/** A day in full: `Tuesday 2 June 2026`. */
export function dayLong(day: Day): string {
  return plainDay(format('UTC', { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' }), utcNoon(day));
}

/** Two days as a range: `1–3 June 2026`; one day in full when they are the same. */
export function dayRange(from: Day, to: Day): string {
  if (from === to) return dayLong(from);
  return format('UTC', { day: 'numeric', month: 'long', year: 'numeric' }).formatRange(utcNoon(from), utcNoon(to));
}

/** The offset of the zone at the instant, as people write it: `UTC+2`. */
export function zoneOffset(instant: Date | number, zone: string): string {
  const name = format(zone, { timeZoneName: 'shortOffset' })
    .formatToParts(instant)
    .find((part) => part.type === 'timeZoneName')?.value;
  return (name ?? zone).replace('GMT', 'UTC');
}

/** A zone's name for people: `America/New_York` → `New York`. */
export function zoneName(zone: string): string {
  return (zone.split('/').at(-1) ?? zone).replaceAll('_', ' ');
}
