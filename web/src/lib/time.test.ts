import { describe, expect, it } from 'vitest';
import { addDays, candidateDays, dayOf, dayStart, daysBetween, instantOf, isDay, lastEvent, toApi } from './time';

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

describe('UTC days with locations, seen from a zone', () => {
  it('are the same days in UTC, all certain', () => {
    expect(candidateDays(['2026-06-01', '2026-06-02'], 'UTC')).toEqual([
      { day: '2026-06-01', certain: true },
      { day: '2026-06-02', certain: true },
    ]);
  });

  it('make the local days at their edges doubtful', () => {
    expect(candidateDays(['2026-06-01', '2026-06-02'], 'America/Denver')).toEqual([
      { day: '2026-05-31', certain: false },
      { day: '2026-06-01', certain: true },
      { day: '2026-06-02', certain: false },
    ]);
  });
});

describe('the event', () => {
  it('is the last run of days', () => {
    expect(lastEvent(['2024-05-01', '2026-06-01', '2026-06-02', '2026-06-05'])).toEqual([
      '2026-06-01',
      '2026-06-02',
      '2026-06-05',
    ]);
    expect(lastEvent([])).toEqual([]);
  });
});
