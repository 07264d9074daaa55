import { describe, expect, it } from 'vitest';
import { clusters, countUntil, gridLines, positionAt, thin } from './geometry';

describe('the ground', () => {
  it('has one dot for many fixes at one place', () => {
    const booth = { latitude: 35.0872, longitude: -106.6478 };
    const far = { latitude: 35.0882, longitude: -106.6478 };
    expect(thin([booth, { ...booth }, far, booth], 2)).toEqual([booth, far]);
    expect(thin([], 2)).toEqual([]);
  });

  it('has lines of round metres, and none when they would be everywhere', () => {
    const box = { south: 0, north: 0.001, west: 0, east: 0.001 };
    const { latitudes, longitudes } = gridLines(box, { latitude: 0, longitude: 0 }, 0.5, 50);
    // 111 m high, a line every 50 m.
    expect(latitudes).toHaveLength(3);
    expect(longitudes).toHaveLength(3);
    expect(gridLines(box, { latitude: 0, longitude: 0 }, 50_000, 50).latitudes).toEqual([]);
  });
});

describe('points', () => {
  it('that would hide each other become one', () => {
    const placed = [
      { item: 'a', x: 0, y: 0 },
      { item: 'b', x: 100, y: 0 },
      { item: 'c', x: 10, y: 10 },
    ];
    expect(clusters(placed, 20).map((cluster) => cluster.items)).toEqual([['a', 'c'], ['b']]);
  });
});

describe('a way', () => {
  const minute = 60_000;
  const fixes = [
    { latitude: 0, longitude: 0, time: 0 },
    { latitude: 2, longitude: 4, time: 2 * minute },
    { latitude: 5, longitude: 5, time: 60 * minute },
  ];

  it('is known between fixes that follow each other', () => {
    expect(positionAt(fixes, minute)).toEqual({ latitude: 1, longitude: 2 });
    expect(countUntil(fixes, 2 * minute)).toBe(2);
  });

  it('is unknown where no phone told it', () => {
    expect(positionAt(fixes, 30 * minute)).toBeNull();
    expect(positionAt(fixes, 3 * minute)).toMatchObject({ latitude: 2 });
    expect(positionAt([], 0)).toBeNull();
  });
});
