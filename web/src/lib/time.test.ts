import { describe, expect, it } from 'vitest';
import {
  addDays,
  dayEnd,
  dayOf,
  dayStart,
  daysBetween,
  eventOf,
  instantOf,
  instantsOf,
  isDay,
  readInstant,
  runsOf,
  toApi,
  writeInstant,
} from './time';

describe('days of a time zone', () => {
  it('begin at local midnight, also where the clock changes', () => {
    expect(toApi(dayStart('2026-06-02', 'UTC'))).toBe('2026-06-02T00:00:00Z');
    expect(toApi(dayStart('2026-06-02', 'America/Denver'))).toBe('2026-06-02T06:00:00Z');
    // The night of the change itself: 25 hours long.
    expect(toApi(dayStart('2026-10-25', 'Europe/Berlin'))).toBe('2026-10-24T22:00:00Z');
    expect(toApi(dayStart('2026-10-26', 'Europe/Berlin'))).toBe('2026-10-25T23:00:00Z');
  });

  it('hold their instants', () => {
    expect(dayOf(Date.parse('2026-06-02T05:59:59Z'), 'America/Denver')).toBe('2026-06-01');
    expect(dayOf(Date.parse('2026-06-02T06:00:00Z'), 'America/Denver')).toBe('2026-06-02');
    expect(dayOf(Date.parse('2026-06-01T18:00:00Z'), 'Asia/Tokyo')).toBe('2026-06-02');
  });

  it('are added and counted by the calendar', () => {
    expect(addDays('2026-02-28', 1)).toBe('2026-03-01');
    expect(addDays('2026-01-01', -1)).toBe('2025-12-31');
    expect(daysBetween('2026-02-27', '2026-03-02')).toBe(3);
  });

  it('are refused when there is no such day', () => {
    expect(['2026-02-28', '2026-02-30', '2026-6-2', 'x', ''].map(isDay)).toEqual([true, false, false, false, false]);
  });
});

describe('a wall clock time', () => {
  it('is an instant of its zone', () => {
    expect(toApi(instantOf('2026-06-02T10:05', 'America/Denver'))).toBe('2026-06-02T16:05:00Z');
  });
});

describe('the runs of days with locations', () => {
  const counts = (...days: [string, number][]) => days.map(([day, locations]) => ({ day, locations }));
  const event = counts(['2026-06-01', 540], ['2026-06-02', 540], ['2026-06-05', 540]);

  it('end where nothing was for more than a week', () => {
    expect(runsOf([...counts(['2024-05-01', 3]), ...event]).map(({ days }) => days)).toEqual([
      ['2024-05-01'],
      ['2026-06-01', '2026-06-02', '2026-06-05'],
    ]);
    expect(runsOf([])).toEqual([]);
  });

  it('have the event where most locations are: one that is recorded later does not make it disappear', () => {
    const days = [...event, ...counts(['2026-11-25', 1])];
    expect(eventOf(runsOf(days))?.days).toEqual(['2026-06-01', '2026-06-02', '2026-06-05']);
    expect(eventOf(runsOf(counts(['2024-05-01', 7], ['2026-06-01', 7])))?.days).toEqual(['2026-06-01']);
    expect(eventOf([])).toBeUndefined();
  });
});

describe('the ends of the calendar', () => {
  it('are days like others', () => {
    expect(addDays('9999-12-31', 1)).toBe('10000-01-01');
    expect(addDays('0099-12-31', 1)).toBe('0100-01-01');
    expect(addDays('0001-01-01', 1)).toBe('0001-01-02');
    expect(toApi(dayStart('0001-01-01', 'UTC'))).toBe('0001-01-01T00:00:00Z');
    expect(toApi(dayStart('0099-06-01', 'UTC'))).toBe('0099-06-01T00:00:00Z');
    expect(dayOf(dayStart('0050-03-01', 'America/Denver'), 'America/Denver')).toBe('0050-03-01');
    expect(isDay('0000-01-01')).toBe(false);
  });

  it('are asked for as the API takes them', () => {
    expect(toApi(dayEnd('9999-12-31', 'UTC'))).toBe('9999-12-31T23:59:59.999999Z');
    expect(toApi(dayEnd('9999-12-31', 'America/Denver'))).toBe('9999-12-31T23:59:59.999999Z');
    expect(toApi(dayEnd('9999-12-30', 'UTC'))).toBe('9999-12-31T00:00:00Z');
    expect(toApi(dayStart('0001-01-01', 'Asia/Tokyo'))).toMatch(/^0000-12-31T14:/);
  });
});

describe('a time in the address', () => {
  it('is the same instant wherever it is read', () => {
    const noon = new Date('2026-06-02T18:05:00Z');
    for (const [zone, written] of [
      ['America/Denver', '2026-06-02T12:05-06:00'],
      ['Asia/Kathmandu', '2026-06-02T23:50+05:45'],
      ['UTC', '2026-06-02T18:05Z'],
    ] as const) {
      expect(writeInstant(noon, zone)).toBe(written);
      expect(readInstant(written)).toEqual(noon);
      // As it arrives when nobody encoded the plus.
      expect(readInstant(written.replace('+', ' '))).toEqual(noon);
    }
  });

  it('is none when it names no zone, no time or no day', () => {
    for (const text of ['11:30', '2026-06-02T12:05', '2026-02-30T12:05Z', '2026-06-02T25:05Z', 'x', ''])
      expect(readInstant(text), text).toBeNull();
  });
});

describe('a wall clock time of a zone', () => {
  it('comes once, twice or never', () => {
    const at = (time: string) => instantsOf(time, 'Europe/Berlin').map(toApi);
    expect(at('2026-06-02T10:05')).toEqual(['2026-06-02T08:05:00Z']);
    expect(at('2026-10-25T02:30')).toEqual(['2026-10-25T00:30:00Z', '2026-10-25T01:30:00Z']);
    expect(at('2026-03-29T02:30')).toEqual([]);
    expect(at('')).toEqual([]);
    expect(at('275760-09-13T00:00')).toEqual([]);
  });
});
