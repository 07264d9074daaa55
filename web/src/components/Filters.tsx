import { ChevronDown, SlidersHorizontal } from 'lucide-react';
import { useEffect, useId, useRef, useState, type ReactNode } from 'react';
import { useSearchParams } from 'react-router';
import { Field } from './Field';
import { dayRange, dayShort } from '../lib/format';
import {
  PRESETS,
  refusedDates,
  usableDistance,
  usableMinutes,
  type Choices,
  type Preset,
  type Range,
} from '../lib/search';
import { isDay, type Day } from '../lib/time';
import { text } from '../text';

type Change = (change: Partial<Choices>) => void;

/** More days than these are chosen by date. */
const MAX_CHIPS = 7;
const LENGTHS = [0, 1, 5, 15, 30, 60];

function Chip({
  name,
  checked,
  onChoose,
  children,
}: {
  name: string;
  checked: boolean;
  onChoose: () => void;
  children: ReactNode;
}) {
  return (
    <label className="chip">
      <input type="radio" name={name} checked={checked} onChange={onChoose} />
      <span>{children}</span>
    </label>
  );
}

/** Pause after which a date is taken as typed to its end, in milliseconds. */
const TYPED_MS = 700;
/** While somebody types a year, its first digits are years, too. Earlier ones count when the field is left. */
const FIRST_TYPED_YEAR = 1_000;

type End = 'from' | 'to';

/** What is wrong with the dates, beside the field that was changed last. */
function wrongDates({ from, to }: Range, last: End): Partial<Record<End, string>> {
  const wrong = {
    ...(isDay(from) ? {} : { from: text.filter.noDay }),
    ...(isDay(to) ? {} : { to: text.filter.noDay }),
  };
  if (wrong.from !== undefined || wrong.to !== undefined || from <= to) return wrong;
  return last === 'from' ? { from: text.filter.fromLater } : { to: text.filter.toEarlier };
}

function Dates({
  range,
  refused,
  oneDay,
  onChange,
}: {
  range: Range | null;
  /** What the address has instead of a range. */
  refused: Range | null;
  oneDay: boolean;
  onChange: (range: Range) => void;
}) {
  const shown = `${range?.from ?? ''} ${range?.to ?? ''}`;
  const [typed, setTyped] = useState(refused ?? { from: range?.from ?? '', to: range?.to ?? '' });
  const [last, setLast] = useState<End>('to');
  // Nothing is wrong with what is half typed.
  const [settled, setSettled] = useState(refused !== null);
  const [before, setBefore] = useState(shown);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  if (before !== shown) {
    // Chosen elsewhere.
    setBefore(shown);
    if (range) setTyped(range);
  }
  useEffect(
    () => () => {
      clearTimeout(timer.current);
    },
    [],
  );

  const settle = (dates: Range, end: End) => {
    clearTimeout(timer.current);
    setSettled(true);
    const wrong = wrongDates(dates, end);
    if (wrong.from === undefined && wrong.to === undefined && `${dates.from} ${dates.to}` !== shown) onChange(dates);
  };
  const type = (end: End, value: string) => {
    const next = oneDay ? { from: value, to: value } : { ...typed, [end]: value };
    setTyped(next);
    setLast(end);
    setSettled(false);
    clearTimeout(timer.current);
    if (isDay(value) && Number(value.slice(0, 4)) >= FIRST_TYPED_YEAR) {
      timer.current = setTimeout(() => {
        settle(next, end);
      }, TYPED_MS);
    }
  };
  const wrong = settled ? wrongDates(typed, last) : {};
  const field = (end: End, label: string) => (
    <Field
      label={label}
      type="date"
      value={typed[end]}
      error={wrong[end]}
      onChange={(event) => {
        type(end, event.target.value);
      }}
      onBlur={() => {
        settle(typed, last);
      }}
      onKeyDown={(event) => {
        if (event.key === 'Enter') settle(typed, end);
      }}
    />
  );
  if (oneDay) return <div className="one-field">{field('from', text.day.days)}</div>;
  return (
    <div className="pair-of-fields">
      {field('from', text.filter.from)}
      {field('to', text.filter.to)}
    </div>
  );
}

/** Chooses days of the event; `onRange(null)` means all of them. */
export function DayChips({
  event,
  range,
  whole,
  onRange,
  oneDay = false,
}: {
  event: Day[];
  range: Range | null;
  whole: Range | null;
  onRange: (range: Range | null) => void;
  /** The view shows one day: the first of the range. */
  oneDay?: boolean;
}) {
  const name = useId();
  const chips = event.length > 1 && event.length <= MAX_CHIPS ? event : [];
  const shown = oneDay ? (range?.from ?? event[0] ?? '') : null;
  const isWhole = oneDay
    ? event.length === 1 && shown === event[0]
    : range === null || (range.from === whole?.from && range.to === whole.to);
  const day = shown ?? (range && range.from === range.to ? range.from : null);
  const single = !isWhole && day !== null && chips.includes(day) ? day : null;
  const [params] = useSearchParams();
  const refused = refusedDates(params);
  const [chosenByDate, setByDate] = useState(refused !== null);
  const byDate = chosenByDate || (!isWhole && single === null && event.length > 0);
  return (
    <fieldset>
      <legend>{text.filter.days}</legend>
      <div className="chips">
        {(oneDay ? event.length === 1 : event.length > 0) && (
          <Chip
            name={name}
            checked={isWhole && !byDate}
            onChoose={() => {
              setByDate(false);
              onRange(null);
            }}
          >
            {event.length === 1 ? dayShort(event[0] ?? '') : text.filter.allDays(event.length)}
          </Chip>
        )}
        {chips.map((day) => (
          <Chip
            key={day}
            name={name}
            checked={single === day && !byDate}
            onChoose={() => {
              setByDate(false);
              onRange({ from: day, to: day });
            }}
          >
            {dayShort(day)}
          </Chip>
        ))}
        <Chip
          name={name}
          checked={byDate}
          onChoose={() => {
            setByDate(true);
          }}
        >
          {text.filter.otherDates}
        </Chip>
      </div>
      {byDate && <Dates range={range ?? whole} refused={refused} oneDay={oneDay} onChange={onRange} />}
    </fieldset>
  );
}

function Exact({ choices, change }: { choices: Choices; change: Change }) {
  const [distance, setDistance] = useState(String(choices.meeting.distance));
  const [minutes, setMinutes] = useState(String(choices.meeting.minutes));
  const number = (value: string) => (value.trim() === '' ? NaN : Number(value.replace(',', '.')));
  const badDistance = !usableDistance(number(distance));
  const badMinutes = !usableMinutes(number(minutes));
  const use = (newDistance: string, newMinutes: string) => {
    setDistance(newDistance);
    setMinutes(newMinutes);
    if (usableDistance(number(newDistance)) && usableMinutes(number(newMinutes)))
      change({ preset: 'exact', meeting: { distance: number(newDistance), minutes: number(newMinutes) } });
  };
  return (
    <div className="pair-of-fields">
      <Field
        label={text.filter.distance}
        {...(badDistance ? { error: text.filter.distanceHelp } : { help: text.filter.distanceHelp })}
        inputMode="decimal"
        value={distance}
        onChange={(event) => {
          use(event.target.value, minutes);
        }}
      />
      <Field
        label={text.filter.within}
        {...(badMinutes ? { error: text.filter.withinHelp } : { help: text.filter.withinHelp })}
        inputMode="decimal"
        value={minutes}
        onChange={(event) => {
          use(distance, event.target.value);
        }}
      />
    </div>
  );
}

function Nearness({ choices, change }: { choices: Choices; change: Change }) {
  const name = useId();
  const presets = Object.keys(text.filter.presets) as Preset[];
  return (
    <fieldset>
      <legend>{text.filter.near}</legend>
      <div className="chips">
        {presets.map((preset) => (
          <Chip
            key={preset}
            name={name}
            checked={choices.preset === preset}
            onChoose={() => {
              change({ preset, meeting: preset === 'exact' ? choices.meeting : PRESETS[preset] });
            }}
          >
            {text.filter.presets[preset]}
          </Chip>
        ))}
      </div>
      {choices.preset === 'exact' && <Exact choices={choices} change={change} />}
      <p className="explained">{text.filter.explained(choices.meeting.distance, choices.meeting.minutes)}</p>
    </fieldset>
  );
}

function AtLeast({ choices, change }: { choices: Choices; change: Change }) {
  const lengths = LENGTHS.includes(choices.atLeast) ? LENGTHS : [...LENGTHS, choices.atLeast].sort((a, b) => a - b);
  return (
    <label className="at-least">
      {text.filter.atLeast}
      <select
        value={choices.atLeast}
        onChange={(event) => {
          change({ atLeast: Number(event.target.value) });
        }}
      >
        {lengths.map((minutes) => (
          <option key={minutes} value={minutes}>
            {text.filter.lengths(minutes)}
          </option>
        ))}
      </select>
    </label>
  );
}

// As in the style sheet, where the filters move beside the list.
const WIDE = '(min-width: 60rem)';

/**
 * What counts as meeting: when, how near, how long. Folded unless there is room and `unfold`; the summary says what is
 * chosen.
 */
export function Filters({
  event,
  whole,
  range,
  choices,
  change,
  withDays = true,
  withLength = false,
  unfold = false,
}: {
  event: Day[];
  whole: Range | null;
  range: Range | null;
  choices: Choices;
  change: Change;
  /** Whether the days are chosen here. */
  withDays?: boolean;
  /** Whether short meetings can be left out. */
  withLength?: boolean;
  /** Whether to begin unfolded where the screen is wide. */
  unfold?: boolean;
}) {
  const [params] = useSearchParams();
  const [open, setOpen] = useState(
    // What is wrong with the dates stands beside them.
    () => (withDays && refusedDates(params) !== null) || (unfold && window.matchMedia(WIDE).matches),
  );
  const chosen = [
    ...(withDays && range ? [dayRange(range.from, range.to)] : []),
    ...(choices.preset === 'exact' ? [] : [text.filter.presets[choices.preset]]),
    ...(withDays && choices.preset !== 'exact'
      ? []
      : [text.filter.explained(choices.meeting.distance, choices.meeting.minutes)]),
  ];
  return (
    <details
      className="filters card"
      open={open}
      onToggle={(toggled) => {
        setOpen(toggled.currentTarget.open);
      }}
    >
      <summary>
        <SlidersHorizontal aria-hidden="true" />
        <span>
          <span className="filters-title">{text.filter.title}</span>
          <span className="filters-chosen">{chosen.join(' · ')}</span>
        </span>
        <ChevronDown className="filters-fold" aria-hidden="true" />
      </summary>
      <div className="filters-body">
        {withDays && (
          <DayChips
            // The date inputs begin anew when the days are known.
            key={whole ? 'known' : 'unknown'}
            event={event}
            range={choices.range}
            whole={whole}
            onRange={(newRange) => {
              change({ range: newRange });
            }}
          />
        )}
        <Nearness choices={choices} change={change} />
        {withLength && <AtLeast choices={choices} change={change} />}
      </div>
    </details>
  );
}
