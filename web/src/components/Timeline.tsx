import type { Encounter } from '../api/schema';
import { dayShort } from '../lib/format';
import { addDays, dayOf, dayStart, type Day } from '../lib/time';

const HOUR_MS = 3_600_000;

export interface Lane {
  day: Day;
  /** Index of the encounter, and where its bar begins and how wide it is, in shares of the lane. */
  bars: { index: number; left: number; width: number }[];
}

export interface Lanes {
  lanes: Lane[];
  /** Hours to mark, and where, in shares of the lane. */
  ticks: { hour: number; left: number }[];
}

/** Lays encounters out on one lane a day, all with the same hours. Encounters must be ordered by start. */
export function lanesOf(encounters: readonly Encounter[], zone: string): Lanes {
  const pieces = encounters.flatMap((encounter, index) => {
    const found: { day: Day; index: number; from: number; to: number }[] = [];
    const last = dayOf(encounter.end, zone);
    // One that goes on past midnight is on both days.
    for (let day = dayOf(encounter.start, zone); day <= last; day = addDays(day, 1)) {
      const start = dayStart(day, zone).getTime();
      const end = dayStart(addDays(day, 1), zone).getTime();
      found.push({
        day,
        index,
        from: (Math.max(encounter.start.getTime(), start) - start) / HOUR_MS,
        to: (Math.min(encounter.end.getTime(), end) - start) / HOUR_MS,
      });
    }
    return found;
  });
  const first = Math.floor(Math.min(...pieces.map((piece) => piece.from), 23));
  const last = Math.max(Math.ceil(Math.max(...pieces.map((piece) => piece.to), 1)), first + 1);
  const hours = last - first;
  const lanes = new Map<Day, Lane>();
  for (const { day, index, from, to } of pieces) {
    const lane = lanes.get(day) ?? { day, bars: [] };
    lane.bars.push({ index, left: (from - first) / hours, width: (to - from) / hours });
    lanes.set(day, lane);
  }
  const every = [1, 2, 3, 4, 6, 12].find((step) => hours / step <= 6) ?? 12;
  const ticks = Array.from({ length: hours + 1 }, (_, index) => first + index)
    .filter((hour) => hour % every === 0)
    .map((hour) => ({ hour, left: (hour - first) / hours }));
  return { lanes: [...lanes.values()].sort((a, b) => (a.day < b.day ? -1 : 1)), ticks };
}

const percent = (share: number) => `${(share * 100).toFixed(3)}%`;

/** When two persons met, one lane a day. The list of encounters says the same to those who do not see it. */
export function Timeline({
  encounters,
  zone,
  selected,
  onSelect,
}: {
  encounters: readonly Encounter[];
  zone: string;
  selected: number | null;
  onSelect: (index: number) => void;
}) {
  const { lanes, ticks } = lanesOf(encounters, zone);
  return (
    <div className="timeline" aria-hidden="true">
      {lanes.map((lane) => (
        <div key={lane.day} className="lane">
          <span className="lane-day">{dayShort(lane.day)}</span>
          <span className="lane-track">
            {ticks.map((tick) => (
              <span key={tick.hour} className="lane-tick" style={{ left: percent(tick.left) }} />
            ))}
            {lane.bars.map((bar) => (
              <span
                key={bar.index}
                className={`lane-bar${bar.index === selected ? ' chosen' : ''}`}
                style={{ left: percent(bar.left), width: percent(bar.width) }}
                onClick={() => {
                  onSelect(bar.index);
                }}
              />
            ))}
          </span>
        </div>
      ))}
      <div className="lane lane-hours">
        <span className="lane-day" />
        <span className="lane-axis">
          {ticks.map((tick) => (
            <span key={tick.hour} style={{ left: percent(tick.left) }}>
              {tick.hour}
            </span>
          ))}
        </span>
      </div>
    </div>
  );
}
