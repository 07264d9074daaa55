import { dayRange } from '../lib/format';
import type { Range } from '../lib/search';
import { text } from '../text';

/** More are found by date. */
const MOST = 4;

/** Says that a person has locations at other times than those shown, and leads there; latest first. */
export function OtherDays({
  name,
  runs,
  whole,
  range,
  onRange,
}: {
  name: string;
  /** All times with locations, oldest first. */
  runs: readonly Range[];
  /** The one that is shown when none is chosen. */
  whole: Range | null;
  range: Range | null;
  onRange: (range: Range | null) => void;
}) {
  if (!range) return null;
  const others = runs.filter((run) => run.to < range.from || range.to < run.from).reverse();
  if (others.length === 0) return null;
  return (
    <div className="other-days">
      <p>{text.person.otherDays(dayRange(range.from, range.to), name)}</p>
      <ul>
        {others.slice(0, MOST).map((run) => (
          <li key={run.from}>
            <button
              type="button"
              className="button"
              onClick={() => {
                onRange(run.from === whole?.from ? null : run);
              }}
            >
              {dayRange(run.from, run.to)}
            </button>
          </li>
        ))}
      </ul>
      {others.length > MOST && <p>{text.person.moreDays(others.length - MOST)}</p>}
    </div>
  );
}
