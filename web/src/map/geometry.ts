/** A place on the earth, in degrees. */
export interface Coordinate {
  latitude: number;
  longitude: number;
}

const METRES_PER_DEGREE = 111_195;

/** How long a degree of longitude is at the latitude, in metres; never zero, so that one may divide by it. */
export function metresPerLongitude(latitude: number): number {
  return METRES_PER_DEGREE * Math.max(Math.cos((latitude * Math.PI) / 180), 1e-6);
}

/**
 * One coordinate for each square of `metres` that holds any: thousands of fixes at the same booths look like a few hundred.
 */
export function thin(coordinates: readonly Coordinate[], metres: number): Coordinate[] {
  const first = coordinates[0];
  if (!first) return [];
  const east = metresPerLongitude(first.latitude);
  const seen = new Map<string, Coordinate>();
  for (const coordinate of coordinates) {
    const x = Math.floor((coordinate.longitude * east) / metres);
    const y = Math.floor((coordinate.latitude * METRES_PER_DEGREE) / metres);
    const key = `${x} ${y}`;
    if (!seen.has(key)) seen.set(key, coordinate);
  }
  return [...seen.values()];
}

export interface Placed<T> {
  item: T;
  x: number;
  y: number;
}

export interface Cluster<T> {
  items: T[];
  x: number;
  y: number;
}

/** Joins what lies within `radius` pixels of a cluster's first item, in the order given. */
export function clusters<T>(placed: readonly Placed<T>[], radius: number): Cluster<T>[] {
  const found: Cluster<T>[] = [];
  for (const { item, x, y } of placed) {
    const near = found.find((cluster) => (cluster.x - x) ** 2 + (cluster.y - y) ** 2 <= radius ** 2);
    if (near) near.items.push(item);
    else found.push({ items: [item], x, y });
  }
  return found;
}

const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000];

/** The lines of a grid of round metres over a box, at least `minPixels` apart; none when the box is too large for metres. */
export function gridLines(
  box: { south: number; west: number; north: number; east: number },
  origin: Coordinate,
  metresPerPixel: number,
  minPixels: number,
): { latitudes: number[]; longitudes: number[] } {
  const step = STEPS.find((metres) => metres / metresPerPixel >= minPixels);
  if (step === undefined) return { latitudes: [], longitudes: [] };
  const lines = (from: number, to: number, zero: number, degrees: number) => {
    const first = Math.ceil((from - zero) / degrees);
    const last = Math.floor((to - zero) / degrees);
    return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => zero + (first + index) * degrees);
  };
  return {
    latitudes: lines(box.south, box.north, origin.latitude, step / METRES_PER_DEGREE),
    longitudes: lines(box.west, box.east, origin.longitude, step / metresPerLongitude(origin.latitude)),
  };
}

/** A fix in time. */
export interface Fix extends Coordinate {
  /** Milliseconds since 1970. */
  time: number;
}

/** Fixes further apart in time than this do not tell where somebody was in between. */
const BLIND_MS = 10 * 60_000;

/** The number of fixes at or before the time; fixes are ordered by time. */
export function countUntil(fixes: readonly Fix[], time: number): number {
  let low = 0;
  let high = fixes.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((fixes[middle]?.time ?? Infinity) <= time) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Where somebody was at the time: on the line between two fixes; null when no fix is near in time. */
export function positionAt(fixes: readonly Fix[], time: number): Coordinate | null {
  const index = countUntil(fixes, time);
  const before = fixes[index - 1];
  const after = fixes[index];
  if (before && after && after.time - before.time <= BLIND_MS) {
    const share = (time - before.time) / (after.time - before.time);
    return {
      latitude: before.latitude + share * (after.latitude - before.latitude),
      longitude: before.longitude + share * (after.longitude - before.longitude),
    };
  }
  if (before && time - before.time <= BLIND_MS / 2) return before;
  if (after && after.time - time <= BLIND_MS / 2) return after;
  return null;
}
