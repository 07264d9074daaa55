import { describe, expect, it } from 'vitest';
import type { Encounter } from '../api/schema';
import { lanesOf } from './Timeline';

function encounter(start: string, end: string): Encounter {
  const from = new Date(start);
  const to = new Date(end);
  const closest = { distance_m: 1, time: from, latitude: 0, longitude: 0 };
  return { start: from, end: to, duration: (to.getTime() - from.getTime()) / 1000, closest_m: 1, closest };
}

describe('the timeline', () => {
  it('has a lane a day, all with the same hours', () => {
    const { lanes, ticks } = lanesOf(
      [
        encounter('2026-06-01T10:00:00Z', '2026-06-01T11:00:00Z'),
        encounter('2026-06-02T13:00:00Z', '2026-06-02T13:30:00Z'),
      ],
      'UTC',
    );
    expect(lanes).toEqual([
      { day: '2026-06-01', bars: [{ index: 0, left: 0, width: 0.25 }] },
      { day: '2026-06-02', bars: [{ index: 1, left: 0.75, width: 0.125 }] },
    ]);
    expect(ticks.map((tick) => tick.hour)).toEqual([10, 11, 12, 13, 14]);
  });

  it('shows what goes on past midnight on both days', () => {
    const { lanes } = lanesOf([encounter('2026-06-01T23:00:00Z', '2026-06-02T01:00:00Z')], 'UTC');
    expect(lanes.map((lane) => lane.day)).toEqual(['2026-06-01', '2026-06-02']);
    expect(lanes[0]?.bars[0]?.left).toBeCloseTo(23 / 24);
    expect(lanes[1]?.bars[0]).toMatchObject({ index: 0, left: 0 });
  });
});
