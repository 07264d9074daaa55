import { useQuery } from '@tanstack/react-query';
import { memo, useCallback, useEffect, useMemo, useRef, useState, type ReactNode } from 'react';
import { Link, useParams, useSearchParams } from 'react-router';
import { metQuery, trackQuery, type Met } from '../api/queries';
import type { Person } from '../api/schema';
import { Avatar } from '../components/Avatar';
import { DayPlayer } from '../components/DayPlayer';
import { DayChips, Filters } from '../components/Filters';
import { Heading } from '../components/Heading';
import { BackToList, LazyMap } from '../components/LazyMap';
import { OtherDays } from '../components/OtherDays';
import { EmptyState, Outdated, PersonUnknown, SkeletonRows, Unanswered } from '../components/states';
import { VirtualList } from '../components/VirtualList';
import { ZoneNote } from '../components/ZoneNote';
import { clock, dayLong } from '../lib/format';
import { fullName, initials } from '../lib/person';
import { readChoices, useChoices, withChoices, writeChoices, type Choices, type Range } from '../lib/search';
import { dayOf, dayStart, instantsOf, readInstant, writeInstant, type Day } from '../lib/time';
import { useEventRange } from '../lib/useEventRange';
import { usePerson } from '../lib/usePerson';
import { useReveal } from '../lib/useReveal';
import { useSteady, type Steady } from '../lib/useSteady';
import { countUntil, positionAt, type Fix } from '../map/geometry';
import { text } from '../text';

/** How much of the way behind the person is drawn strongly, in milliseconds. */
const TRAIL_MS = 20 * 60_000;

function MetRow({
  met,
  choices,
  to,
  selected,
  onSelect,
}: {
  met: Met;
  choices: Choices;
  to: string;
  selected: boolean;
  onSelect: () => void;
}) {
  const { person, encounter } = met;
  const from = clock(encounter.start, choices.zone);
  const until = clock(encounter.end, choices.zone);
  return (
    <div className={selected ? 'day-met chosen' : 'day-met'}>
      <button type="button" aria-pressed={selected} onClick={onSelect}>
        <span className="day-met-time">{text.pair.span(from, until)}</span>
        <Avatar person={person} size="s" />
        <span className="row-main">
          <span className="row-name">{fullName(person)}</span>
          <small>{text.pair.how(encounter.duration, encounter.closest_m)}</small>
        </span>
      </button>
      {selected && <Link to={to}>{text.day.seePair(person.first_name)}</Link>}
    </div>
  );
}

type Answer = Steady<{ met: Met[]; truncated: boolean }>;

/** Every encounter of the day. Drawn anew when something is chosen, not while the day plays. */
const DayList = memo(function DayList({
  question,
  choices,
  selected,
  toPair,
  onChoose,
}: {
  question: Answer;
  choices: Choices;
  selected: readonly string[];
  toPair: (other: Person) => string;
  onChoose: (id: string, index: number) => void;
}) {
  const { data } = question;
  return (
    <section className="card day-list" aria-labelledby="day-list-title">
      <h2 id="day-list-title">{text.day.list}</h2>
      <Outdated question={question} />
      {data === undefined ? (
        <Unanswered question={question} skeleton={<SkeletonRows rows={6} className="row" />} />
      ) : data.met.length > 0 ? (
        <>
          <p className="aside">
            {text.day.listHelp(data.met.length, new Set(data.met.map(({ person }) => person.id)).size)}
            {data.truncated && ` ${text.day.cut}`}
          </p>
          <VirtualList items={data.met} keyOf={({ id }) => id} label={text.day.list} estimate={58}>
            {(one, index) => (
              <MetRow
                met={one}
                choices={choices}
                to={toPair(one.person)}
                selected={selected.includes(one.id)}
                onSelect={() => {
                  onChoose(one.id, index);
                }}
              />
            )}
          </VirtualList>
        </>
      ) : (
        <p>{text.day.alone}</p>
      )}
    </section>
  );
});

/** More of one place are in the list. */
const MOST_HERE = 12;

/** The encounters that were chosen on the map or in the list. */
function Here({ here, choices, toPair }: { here: Met[]; choices: Choices; toPair: (other: Person) => string }) {
  return (
    <div className="day-here">
      <h2>{text.day.here}</h2>
      <ul>
        {here.slice(0, MOST_HERE).map(({ id, person, encounter }) => (
          <li key={id}>
            <Link to={toPair(person)}>
              <Avatar person={person} size="s" />
              <span>
                {fullName(person)}{' '}
                <small>
                  {clock(encounter.start, choices.zone)}
                  {here.length === 1 && ` · ${text.pair.how(encounter.duration, encounter.closest_m)}`}
                </small>
              </span>
            </Link>
          </li>
        ))}
      </ul>
      {here.length > MOST_HERE && <p className="aside">{text.day.moreHere(here.length - MOST_HERE)}</p>}
    </div>
  );
}

const NO_MET: Met[] = [];

/** The time in the address: an instant, or as older links have it, the wall clock of the day. */
function timeOf(given: string | null, day: Day, zone: string): number | null {
  if (given === null) return null;
  const instant =
    readInstant(given) ?? (/^\d{2}:\d{2}$/.test(given) ? (instantsOf(`${day}T${given}`, zone)[0] ?? null) : null);
  return instant && dayOf(instant, zone) === day ? instant.getTime() : null;
}

function DayView({
  person,
  day,
  choices,
  filters,
}: {
  person: Person;
  day: Day;
  choices: Choices;
  filters: ReactNode;
}) {
  const id = String(person.id);
  const { zone } = choices;
  const [params, setParams] = useSearchParams();
  const range = useMemo(() => ({ from: day, to: day }), [day]);
  const trackOptions = trackQuery(id, range, zone);
  const track = useSteady(useQuery(trackOptions), trackOptions.queryKey);
  const metOptions = metQuery(id, range, zone, choices.meeting);
  const question = useSteady(useQuery(metOptions), metOptions.queryKey);
  const met = question.data?.met ?? NO_MET;
  const [selected, setSelected] = useState<string[]>([]);
  const { place, reveal, back } = useReveal<HTMLElement>();

  const fixes = useMemo<Fix[]>(
    () =>
      (track.data?.items ?? []).map(({ latitude, longitude, creation_time }) => ({
        latitude,
        longitude,
        time: creation_time.getTime(),
      })),
    [track.data],
  );
  const first = fixes[0]?.time ?? 0;
  const last = fixes.at(-1)?.time ?? 0;

  const [time, setTime] = useState(() => timeOf(params.get('t'), day, zone) ?? 0);
  const now = Math.min(Math.max(time || first, first), last);
  const keep = (instant: number) => {
    setParams(
      (old) => {
        const before = readChoices(old);
        // With its day and zone: the link means the same wherever it is opened.
        const next = writeChoices({ ...before, range: before.range ?? range });
        next.set('t', writeInstant(instant, zone));
        return next;
      },
      { replace: true, preventScrollReset: true },
    );
  };

  const points = useMemo(
    () =>
      met.map(({ id: point, person: other, encounter }) => ({
        id: point,
        latitude: encounter.closest.latitude,
        longitude: encounter.closest.longitude,
        badge: initials(other),
        label: text.day.point(
          initials(other),
          fullName(other),
          clock(encounter.closest.time, zone),
          encounter.closest_m,
        ),
      })),
    [met, zone],
  );
  const names = useMemo(() => new Map(met.map((one) => [one.id, fullName(one.person)])), [met]);
  const encounters = useMemo(() => met.map((one) => one.encounter), [met]);
  const trail = useMemo(() => fixes.slice(countUntil(fixes, now - TRAIL_MS), countUntil(fixes, now)), [fixes, now]);
  const around = met.filter(({ encounter }) => encounter.start.getTime() <= now && now <= encounter.end.getTime());
  const position = positionAt(fixes, now);

  const choose = (ids: string[]) => {
    setSelected(ids);
    const one = met.find(({ id: point }) => point === ids[0]);
    if (!one) return;
    setTime(one.encounter.start.getTime());
    keep(one.encounter.start.getTime());
  };
  const toPair = (other: Person) => withChoices(`/people/${id}/with/${other.id}`, { ...choices, range });
  // The same functions as long as the list is the same, so that it is not drawn anew twenty times a second.
  const latest = useRef({ choose, reveal, toPair });
  useEffect(() => {
    latest.current = { choose, reveal, toPair };
  });
  const onChoose = useCallback((point: string, index: number) => {
    latest.current.choose([point]);
    latest.current.reveal(index);
  }, []);
  const choicesKey = JSON.stringify(choices);
  const listed = useMemo(
    () => ({ choices, toPair }),
    // eslint-disable-next-line react-hooks/exhaustive-deps -- the same choices are often another object
    [choicesKey, id, range],
  );
  const { data, error, asOf } = question;
  const list = useMemo(() => question, [data, error, asOf, question.paused]); // eslint-disable-line react-hooks/exhaustive-deps -- as above

  if (track.data === undefined) {
    return (
      <>
        <Unanswered question={track} skeleton={<DaySkeleton />} />
        {filters}
      </>
    );
  }
  if (fixes.length === 0) return <EmptyState title={text.day.empty} help={text.day.emptyHelp} />;
  const here = met.filter((one) => selected.includes(one.id));
  return (
    <div className="day-body">
      <section ref={place} tabIndex={-1} className="card day-map" aria-label={dayLong(day)}>
        <LazyMap
          ground={fixes}
          points={points}
          track={fixes}
          trail={trail}
          position={position}
          selected={selected}
          onSelect={choose}
          clusterLabel={(items) =>
            text.day.cluster(items.length, [...new Set(items.map((item) => names.get(item.id) ?? ''))])
          }
          fitKey={day}
        />
        <DayPlayer
          first={first}
          last={last}
          now={now}
          zone={zone}
          encounters={encounters}
          company={around.map((one) => one.person)}
          known={position !== null}
          complete={data ? !data.truncated : error ? false : null}
          toPair={toPair}
          onTime={setTime}
          onRest={keep}
        />
        {track.data.truncated && <p className="aside">{text.day.truncated}</p>}
        {here.length > 0 && <Here here={here} choices={choices} toPair={toPair} />}
        {back && <BackToList onBack={back} />}
      </section>
      <div className="day-side">
        {filters}
        <DayList
          question={list}
          choices={listed.choices}
          toPair={listed.toPair}
          selected={selected}
          onChoose={onChoose}
        />
      </div>
    </div>
  );
}

/** The room that a day takes. */
function DaySkeleton() {
  return (
    <div className="day-body" role="status">
      <span className="visually-hidden">{text.states.loading}</span>
      <div className="card day-map">
        <div className="map-frame skeleton" />
        <div className="player-room" />
      </div>
      <div className="card day-list" aria-hidden="true">
        <div className="skeleton skeleton-line" />
      </div>
    </div>
  );
}

/** A person's day on the map: where they went and whom they met there. */
export function DayPage() {
  const { id = '' } = useParams();
  const [choices, change] = useChoices();
  const [params, setParams] = useSearchParams();
  const person = usePerson(id);
  const { query: days, event, runs, whole, range, without } = useEventRange(id, choices);
  const given = readInstant(params.get('t') ?? '');
  const day = choices.range?.from ?? (given ? dayOf(given, choices.zone) : range?.from);
  if (person.data === undefined && (person.error ?? person.paused)) return <PersonUnknown question={person} />;
  // The time of day belongs to the day that is left.
  const toDay = (next: Range | null) => {
    setParams((old) => writeChoices({ ...readChoices(old), range: next }), {
      replace: true,
      preventScrollReset: true,
    });
  };
  const filters = (
    <Filters withDays={false} event={event} whole={whole} range={range} choices={choices} change={change} />
  );
  return (
    <div className="day">
      <header className="day-head">
        <div>
          <Link className="up" to={withChoices(`/people/${id}`, choices)}>
            {person.data ? text.person.title(fullName(person.data)) : text.nav.back}
          </Link>
          <Heading title={person.data ? text.day.title(person.data.first_name) : text.states.loading}>
            {person.data ? text.day.title(fullName(person.data)) : <span className="skeleton skeleton-title" />}
          </Heading>
          <p className="company">{day !== undefined ? dayLong(day) : <span className="skeleton skeleton-line" />}</p>
        </div>
      </header>
      {person.data && without && day === undefined ? (
        <EmptyState title={text.person.noLocations(person.data.first_name)} help={text.person.noLocationsHelp}>
          <Link className="button" to={withChoices(`/people/${id}/record`, choices)}>
            {text.person.record}
          </Link>
        </EmptyState>
      ) : (
        <>
          <DayChips
            oneDay
            key={whole ? 'known' : 'unknown'}
            event={event}
            range={choices.range ?? (day === undefined || day === whole?.from ? null : { from: day, to: day })}
            whole={whole}
            onRange={toDay}
          />
          {person.data && day !== undefined && (
            <OtherDays
              name={person.data.first_name}
              runs={runs}
              whole={whole}
              range={{ from: day, to: day }}
              onRange={toDay}
            />
          )}
          {person.data && day !== undefined ? (
            <DayView
              key={`${id} ${day} ${choices.zone}`}
              person={person.data}
              day={day}
              choices={choices}
              filters={filters}
            />
          ) : (
            <>
              <Unanswered question={person.data ? days : person} skeleton={<DaySkeleton />} />
              {filters}
            </>
          )}
        </>
      )}
      <ZoneNote at={day !== undefined ? dayStart(day, choices.zone) : NOW} />
    </div>
  );
}

/** A time to take the zone's offset from before the data is there. */
const NOW = new Date();
