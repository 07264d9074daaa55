import { describe, expect, it } from 'vitest';
import { text } from '../text';
import { clock, dayLong, dayRange, dayShort, moment, zoneName, zoneOffset } from './format';

const noon = new Date('2026-06-02T12:05:00Z');

describe('times and days', () => {
  it('are of the zone', () => {
    expect(clock(noon, 'UTC')).toBe('12:05');
    expect(clock(noon, 'America/Denver')).toBe('06:05');
    expect(clock(new Date('2026-06-02T00:00:00Z'), 'UTC')).toBe('00:00');
    expect(moment(noon, 'UTC')).toBe('Tue 2 Jun, 12:05');
  });

  it('are written for people', () => {
    expect(dayShort('2026-06-02')).toBe('Tue 2 Jun');
    expect(dayLong('2026-06-02')).toBe('Tuesday 2 June 2026');
    expect(dayRange('2026-06-01', '2026-06-03')).toMatch(/^1\s?–\s?3 June 2026$/);
    expect(dayRange('2026-06-02', '2026-06-02')).toBe('Tuesday 2 June 2026');
  });

  it('tell their zone', () => {
    expect(zoneOffset(noon, 'America/Denver')).toBe('UTC-6');
    expect(zoneName('America/Argentina/Buenos_Aires')).toBe('Buenos Aires');
  });
});

describe('durations and distances', () => {
  it('are as long as they need to be', () => {
    expect([0, 20, 59.6, 60, 1_170, 3_600, 11_520].map(text.duration)).toEqual([
      'a moment',
      '20 s',
      '60 s',
      '1 min',
      '20 min',
      '1 h',
      '3 h 12 min',
    ]);
    expect([0, 0.731, 0.999, 1, 4.56, 10, 123.4].map(text.metres)).toEqual([
      '0 cm',
      '73 cm',
      '1 m',
      '1 m',
      '4.6 m',
      '10 m',
      '123 m',
    ]);
  });
});
