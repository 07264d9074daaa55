import { Pause, Play } from 'lucide-react';
import { memo, useEffect, useRef, useState } from 'react';
import { Link } from 'react-router';
import type { Encounter, Person } from '../api/schema';
import { clock } from '../lib/format';
import { fullName } from '../lib/person';
import { text } from '../text';

const MINUTE_MS = 60_000;
/** A day of nine hours plays in about 27 seconds. */
const SPEED = 1_200;
/** Faster than the eye follows would only cost battery. */
const FRAME_MS = 50;

/** When somebody was near. Does not change while the day plays. */
const Strip = memo(function Strip({
  encounters,
  first,
  length,
}: {
  encounters: readonly Encounter[];
  first: number;
  length: number;
}) {
  return (
    <svg className="player-strip" viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true">
      {encounters.map((encounter, index) => (
        <rect
          key={index}
          x={((encounter.start.getTime() - first) / length) * 1000}
          width={Math.max((encounter.duration * 1000 * 1000) / length, 2)}
          y={0}
          height={10}
        />
      ))}
    </svg>
  );
});

interface Props {
  /** Ends of the slider and where it stands, in milliseconds since 1970. */
  first: number;
  last: number;
  now: number;
  zone: string;
  encounters: readonly Encounter[];
  /** Who is near now. */
  company: readonly Person[];
  /** Whether it is known where the person is now. */
  known: boolean;
  /** Whether it is known who was near during the day; null while that is being asked. */
  complete: boolean | null;
  toPair: (other: Person) => string;
  onTime: (time: number) => void;
  /** The slider came to rest. */
  onRest: (time: number) => void;
}

/**
 * The time of day: a slider over the day's encounters, and who is near at that time. Its room stays the same whoever comes
 * and goes, so that nothing jumps while the day plays.
 */
export function DayPlayer({
  first,
  last,
  now,
  zone,
  encounters,
  company,
  known,
  complete,
  toPair,
  onTime,
  onRest,
}: Props) {
  const [playing, setPlaying] = useState(false);
  // Said aloud once the time stands still, not for each minute that passes.
  const [resting, setResting] = useState(false);
  const latest = useRef({ now, last, onTime, onRest });
  useEffect(() => {
    latest.current = { now, last, onTime, onRest };
  });

  useEffect(() => {
    if (!playing) return;
    let frame = 0;
    let before = performance.now();
    const step = (at: number) => {
      frame = requestAnimationFrame(step);
      if (at - before < FRAME_MS) return;
      // After a pause of the whole page the day goes on where it was.
      const passed = Math.min(at - before, 4 * FRAME_MS);
      before = at;
      const { now: from, last: end } = latest.current;
      const next = Math.min(from + passed * SPEED, end);
      latest.current.onTime(next);
      if (next >= end) {
        setPlaying(false);
        setResting(true);
        latest.current.onRest(end);
      }
    };
    frame = requestAnimationFrame(step);
    return () => {
      cancelAnimationFrame(frame);
    };
  }, [playing]);

  const length = Math.max(last - first, 1);
  const toggle = () => {
    if (playing) onRest(now);
    else if (now >= last) onTime(first);
    setPlaying(!playing);
    setResting(playing);
  };
  const rest = () => {
    setResting(true);
    onRest(now);
  };
  const sentence =
    company.length > 0
      ? text.day.company(company.map(fullName))
      : complete === null
        ? text.day.asking
        : !known
          ? text.day.unknown
          : complete
            ? text.day.nobody
            : text.day.unsure;
  return (
    <div className="player">
      <button
        type="button"
        className="icon-button play"
        aria-label={playing ? text.day.pause : text.day.play}
        title={playing ? text.day.pause : text.day.play}
        onClick={toggle}
      >
        {playing ? <Pause aria-hidden="true" /> : <Play aria-hidden="true" />}
      </button>
      <div className="player-track">
        <Strip encounters={encounters} first={first} length={length} />
        <input
          type="range"
          aria-label={text.day.time}
          aria-valuetext={clock(now, zone)}
          min={0}
          max={Math.ceil(length / MINUTE_MS)}
          step={1}
          value={Math.round((now - first) / MINUTE_MS)}
          onChange={(event) => {
            setPlaying(false);
            setResting(false);
            onTime(Math.min(first + Number(event.target.value) * MINUTE_MS, last));
          }}
          onPointerUp={rest}
          onKeyUp={(event) => {
            // Arriving with the tabulator moves nothing.
            if (event.key !== 'Tab' && event.key !== 'Shift') rest();
          }}
        />
      </div>
      <span className="player-now">{clock(now, zone)}</span>
      <div className="player-company">
        {playing || company.length === 0 ? (
          <p>{sentence}</p>
        ) : (
          <>
            <span>{text.day.with(company.length)}</span>
            {company.map((person) => (
              <Link key={person.id} className="company-chip" to={toPair(person)}>
                {fullName(person)}
              </Link>
            ))}
          </>
        )}
      </div>
      <p className="visually-hidden" role="status">
        {resting && !playing ? text.day.at(clock(now, zone), sentence) : ''}
      </p>
    </div>
  );
}
