import { useInfiniteQuery, useQueries, useQuery } from '@tanstack/react-query';
import { useCallback, useMemo, useState } from 'react';
import { Link, useParams, useSearchParams } from 'react-router';
import { connectionsQuery, encountersQuery, personQuery, trackQuery } from '../api/queries';
import type { Encounter, Person } from '../api/schema';
import { Avatar } from '../components/Avatar';
import { DayPlayer } from '../components/DayPlayer';
import { DayChips, Filters } from '../components/Filters';
import { Heading } from '../components/Heading';
import { LazyMap } from '../components/LazyMap';
import { EmptyState, SkeletonRows, Unanswered } from '../components/states';
import { ZoneNote } from '../components/ZoneNote';
import { clock, dayLong } from '../lib/format';
import { fullName, initials } from '../lib/person';
import { useChoices, withChoices, type Choices, type Range } from '../lib/search';
import { dayStart, instantOf, type Day } from '../lib/time';
import { useEventRange } from '../lib/useEventRange';
import { countUntil, positionAt, type Fix } from '../map/geometry';
import { text } from '../text';

/** The encounters of this many persons are asked for: those of the longest time together that day. */
const MOST = 25;
/** How much of the way behind the person is drawn strongly, in milliseconds. */
const TRAIL_MS = 20 * 60_000;

interface Met {
  id: string;
  person: Person;
  encounter: Encounter;
}

/** The encounters of the day with those of the longest time together, oldest first, as far as they have arrived. */
function useDayEncounters(id: string, range: Range, choices: Choices) {
  const connections = useInfiniteQuery(connectionsQuery(id, range, choices.zone, choices.meeting, 0));
  const people = useMemo(
    () => (connections.data?.pages[0]?.items ?? []).slice(0, MOST).map((connection) => connection.person),
    [connections.data],
  );
  const combine = useCallback(
    (results: { data: Encounter[] | undefined; isError: boolean }[]) => ({
      pending: results.some((result) => result.data === undefined && !result.isError),
      met: results
        .flatMap(({ data }, index) => {
          const person = people[index];
          return person === undefined || data === undefined
            ? []
            : data.map((encounter): Met => ({
                id: `${person.id}-${encounter.start.getTime()}`,
                person,
                encounter,
              }));
        })
        .sort((a, b) => a.encounter.start.getTime() - b.encounter.start.getTime()),
    }),
    [people],
  );
  const { pending, met } = useQueries({
    queries: people.map((person) => encountersQuery(id, String(person.id), range, choices.zone, choices.meeting)),
    combine,
  });
  return { connections, people, met, pending: pending || connections.data === undefined };
}

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
    <li className={selected ? 'day-met chosen' : 'day-met'}>
      <button type="button" aria-pressed={selected} onClick={onSelect}>
        <span className="day-met-time">{text.pair.span(from, until)}</span>
        <Avatar person={person} size="s" />
        <span className="row-main">
          <span className="row-name">{fullName(person)}</span>
          <small>{text.pair.how(encounter.duration, encounter.closest_m)}</small>
        </span>
      </button>
      {selected && <Link to={to}>{text.day.seePair(person.first_name)}</Link>}
    </li>
  );
}

function DayView({ person, day, choices }: { person: Person; day: Day; choices: Choices }) {
  const id = String(person.id);
  const [params, setParams] = useSearchParams();
  const range = useMemo(() => ({ from: day, to: day }), [day]);
  const track = useQuery(trackQuery(id, range, choices.zone));
  const { connections, people, met, pending } = useDayEncounters(id, range, choices);
  const [selected, setSelected] = useState<string[]>([]);

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

  const given = params.get('t');
  const [time, setTime] = useState(() =>
    given !== null && /^\d{2}:\d{2}$/.test(given) ? instantOf(`${day}T${given}`, choices.zone).getTime() : 0,
  );
  const now = Math.min(Math.max(time || first, first), last);
  const keep = (instant: number) => {
    setParams(
      (old) => {
        const next = new URLSearchParams(old);
        next.set('t', clock(instant, choices.zone));
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
          clock(encounter.closest.time, choices.zone),
          encounter.closest_m,
        ),
      })),
    [met, choices.zone],
  );
  const names = useMemo(() => new Map(met.map((one) => [one.id, fullName(one.person)])), [met]);
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

  if (track.data === undefined) {
    return <Unanswered question={track} skeleton={<DaySkeleton />} />;
  }
  if (fixes.length === 0) return <EmptyState title={text.day.empty} help={text.day.emptyHelp} />;
  const here = met.filter((one) => selected.includes(one.id));
  return (
    <div className="day-body">
      <section className="card day-map" aria-label={dayLong(day)}>
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
          zone={choices.zone}
          encounters={met.map((one) => one.encounter)}
          company={around.map((one) => one.person)}
          known={position !== null}
          toPair={toPair}
          onTime={setTime}
          onRest={keep}
        />
        {track.data.truncated && <p className="aside">{text.day.truncated}</p>}
        {here.length > 1 && (
          <div className="day-here">
            <h2>{text.day.here}</h2>
            <ul>
              {here.map((one) => (
                <li key={one.id}>
                  <Link to={toPair(one.person)}>
                    <Avatar person={one.person} size="s" />
                    <span>
                      {fullName(one.person)} <small>{clock(one.encounter.start, choices.zone)}</small>
                    </span>
                  </Link>
                </li>
              ))}
            </ul>
          </div>
        )}
      </section>
      <section className="card day-list" aria-labelledby="day-list-title">
        <h2 id="day-list-title">{text.day.list}</h2>
        {people.length > 0 && <p className="aside">{text.day.listHelp(people.length)}</p>}
        {pending ? (
          // All at once: rows that come in between would move away under a finger.
          <Unanswered question={connections} skeleton={<SkeletonRows rows={6} className="row" />} />
        ) : met.length > 0 ? (
          <ul>
            {met.map((one) => (
              <MetRow
                key={one.id}
                met={one}
                choices={choices}
                to={toPair(one.person)}
                selected={selected.includes(one.id)}
                onSelect={() => {
                  choose([one.id]);
                }}
              />
            ))}
          </ul>
        ) : (
          <p>{text.day.alone}</p>
        )}
      </section>
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
  const person = useQuery(personQuery(id));
  const { query: days, event, whole, range, without } = useEventRange(id, choices);
  const day = range?.from;
  const waiting = person.data === undefined ? person : days;
  return (
    <div className="day">
      <header className="day-head">
        <div>
          {person.data && (
            <Link className="up" to={withChoices(`/people/${id}`, choices)}>
              {text.person.title(fullName(person.data))}
            </Link>
          )}
          <Heading title={person.data ? text.day.title(person.data.first_name) : text.states.loading}>
            {person.data ? text.day.title(fullName(person.data)) : <span className="skeleton skeleton-title" />}
          </Heading>
          <p className="company">{day !== undefined ? dayLong(day) : <span className="skeleton skeleton-line" />}</p>
        </div>
      </header>
      {person.data && without && choices.range === null ? (
        <EmptyState title={text.person.noLocations(person.data.first_name)} help={text.person.noLocationsHelp}>
          <Link className="button" to={`/people/${id}/record`}>
            {text.person.record}
          </Link>
        </EmptyState>
      ) : (
        <>
          <DayChips
            oneDay
            key={whole ? 'known' : 'unknown'}
            event={event}
            range={choices.range}
            whole={whole}
            onRange={(next) => {
              change({ range: next });
            }}
          />
          {person.data && day !== undefined ? (
            <DayView key={`${id} ${day} ${choices.zone}`} person={person.data} day={day} choices={choices} />
          ) : (
            <Unanswered question={waiting} skeleton={<DaySkeleton />} />
          )}
          <Filters withDays={false} event={event} whole={whole} range={range} choices={choices} change={change} />
        </>
      )}
      <ZoneNote at={day !== undefined ? dayStart(day, choices.zone) : NOW} />
    </div>
  );
}

/** A time to take the zone's offset from before the data is there. */
const NOW = new Date();
