import { useCallback } from 'react';
import { useSearchParams } from 'react-router';
import { config, defaultZone } from '../config';
import { deviceZone, isDay, isTimeZone, type Day } from './time';

/** Days in the page's time zone, both included. */
export interface Range {
  from: Day;
  to: Day;
}

/** What counts as meeting: metres apart, and minutes apart. */
export interface Meeting {
  distance: number;
  minutes: number;
}

export const PRESETS = {
  arm: { distance: 2, minutes: 1 },
  booth: { distance: 10, minutes: 5 },
  nearby: { distance: 30, minutes: 10 },
} as const satisfies Record<string, Meeting>;
export type Preset = keyof typeof PRESETS | 'exact';

const DEFAULT_PRESET = 'booth';
const MAX_DISTANCE = 1_000;
const MAX_MINUTES = 1_440;

/** The choices that the address of a page holds, and that links to other views carry on. */
export interface Choices {
  /** Null: the event's days. */
  range: Range | null;
  preset: Preset;
  meeting: Meeting;
  /** Minutes together. */
  atLeast: number;
  zone: string;
}

function bounded(value: string | null, usable: (n: number) => boolean): number | null {
  const n = value === null || value.trim() === '' ? NaN : Number(value);
  return Number.isFinite(n) && usable(n) ? n : null;
}

/** Whether the API takes the distance, in metres. */
export const usableDistance = (n: number) => n > 0 && n <= MAX_DISTANCE;
/** Whether the API takes the window, in minutes. */
export const usableMinutes = (n: number) => n >= 0 && n <= MAX_MINUTES;

/** Reads the choices; what makes no sense counts as not given. */
export function readChoices(params: URLSearchParams): Choices {
  const from = params.get('from') ?? '';
  const to = params.get('to') ?? from;
  const near = params.get('near');
  const preset: Preset =
    near === 'exact' || (near !== null && Object.hasOwn(PRESETS, near)) ? (near as Preset) : DEFAULT_PRESET;
  const zone = params.get('tz');
  return {
    range: isDay(from) && isDay(to) && from <= to ? { from, to } : null,
    preset,
    meeting:
      preset === 'exact'
        ? {
            distance: bounded(params.get('distance'), usableDistance) ?? PRESETS[DEFAULT_PRESET].distance,
            minutes: bounded(params.get('minutes'), usableMinutes) ?? PRESETS[DEFAULT_PRESET].minutes,
          }
        : PRESETS[preset],
    atLeast: bounded(params.get('atleast'), usableMinutes) ?? 0,
    zone: zone !== null && isTimeZone(zone) ? zone : defaultZone(),
  };
}

/** The dates of the address as they stand there, when they are no range of days; null when they are one, or absent. */
export function refusedDates(params: URLSearchParams): Range | null {
  const from = params.get('from');
  const to = params.get('to') ?? from;
  if ((from ?? to) === null || readChoices(params).range) return null;
  return { from: from ?? '', to: to ?? '' };
}

/** The same choices as parameters; what is as by default is left out. */
export function writeChoices(choices: Choices): URLSearchParams {
  const params = new URLSearchParams();
  if (choices.range) {
    params.set('from', choices.range.from);
    if (choices.range.to !== choices.range.from) params.set('to', choices.range.to);
  }
  if (choices.preset !== DEFAULT_PRESET) params.set('near', choices.preset);
  if (choices.preset === 'exact') {
    params.set('distance', String(choices.meeting.distance));
    params.set('minutes', String(choices.meeting.minutes));
  }
  if (choices.atLeast > 0) params.set('atleast', String(choices.atLeast));
  // A day means something only with its zone: whoever gets the link may live in another.
  if (choices.range || choices.zone !== defaultZone()) params.set('tz', choices.zone);
  return params;
}

/** The zones to choose from: the event's, the device's, UTC; the chosen one always among them. */
export function zonesToChoose(chosen: string): string[] {
  return [...new Set([config().eventZone, deviceZone(), 'UTC', chosen].filter((zone) => zone !== null))];
}

/** The choices in the address of the page, and how to change some of them. */
export function useChoices(): [Choices, (change: Partial<Choices>) => void] {
  const [params, setParams] = useSearchParams();
  const change = useCallback(
    (changes: Partial<Choices>) => {
      setParams(
        (old) => {
          const next = writeChoices({ ...readChoices(old), ...changes });
          // What belongs to one view only (a search, a time of day) stays.
          for (const [name, value] of old) if (!OURS.has(name)) next.append(name, value);
          return next;
        },
        { replace: true, preventScrollReset: true },
      );
    },
    [setParams],
  );
  return [readChoices(params), change];
}

const OURS = new Set(['from', 'to', 'near', 'distance', 'minutes', 'atleast', 'tz']);

/** `path` with the choices, for a link. */
export function withChoices(path: string, choices: Choices): string {
  const params = writeChoices(choices);
  return params.size > 0 ? `${path}?${params}` : path;
}
