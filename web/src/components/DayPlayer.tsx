import { Pause, Play } from 'lucide-react';
import { useEffect, useRef, useState } from 'react';
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
  toPair: (other: Person) => string;
  onTime: (time: number) => void;
  /** The slider came to rest. */
  onRest: (time: number) => void;
}

/** The time of day: a slider over the day's encounters, and who is near at that time. */
export function DayPlayer({ first, last, now, zone, encounters, company, known, toPair, onTime, onRest }: Props) {
  const [playing, setPlaying] = useState(false);
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
  };
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
            onTime(Math.min(first + Number(event.target.value) * MINUTE_MS, last));
          }}
          onPointerUp={() => {
            onRest(now);
          }}
          onKeyUp={() => {
            onRest(now);
          }}
        />
      </div>
      <output className="player-now">{clock(now, zone)}</output>
      <p className="player-company">
        {company.length > 0 ? (
          <>
            {text.day.with}{' '}
            {company.map((person) => (
              <Link key={person.id} className="company-chip" to={toPair(person)}>
                {fullName(person)}
              </Link>
            ))}
          </>
        ) : known ? (
          text.day.nobody
        ) : (
          text.day.unknown
        )}
      </p>
    </div>
  );
}
