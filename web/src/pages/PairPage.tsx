import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import { Link, useParams, useSearchParams } from 'react-router';
import { encountersQuery, trackQuery } from '../api/queries';
import type { Encounter, Person } from '../api/schema';
import { Avatar } from '../components/Avatar';
import { Filters } from '../components/Filters';
import { Heading } from '../components/Heading';
import { BackToList, LazyMap } from '../components/LazyMap';
import { EmptyState, Outdated, PersonUnknown, SkeletonRows, Unanswered } from '../components/states';
import { OtherDays } from '../components/OtherDays';
import { Timeline } from '../components/Timeline';
import { VirtualList } from '../components/VirtualList';
import { Widen, widerThan } from '../components/Widen';
import { ZoneNote } from '../components/ZoneNote';
import { clock, moment } from '../lib/format';
import { fullName } from '../lib/person';
import { useChoices, withChoices, type Choices } from '../lib/search';
import { toApi } from '../lib/time';
import { useEventRange } from '../lib/useEventRange';
import { usePerson } from '../lib/usePerson';
import { useReveal } from '../lib/useReveal';
import { useSteady } from '../lib/useSteady';
import type { Coordinate } from '../map/geometry';
import { text } from '../text';

const NO_GROUND: Coordinate[] = [];
/** A time to take the zone's offset from before the data is there. */
const NOW = new Date();

function Figures({ encounters, zone }: { encounters: readonly Encounter[]; zone: string }) {
  const total = encounters.reduce((sum, encounter) => sum + encounter.duration, 0);
  const nearest = Math.min(...encounters.map((encounter) => encounter.closest_m));
  const last = encounters.at(-1)?.end;
  return (
    <dl className="figures">
      <div>
        <dd>{text.duration(total)}</dd>
        <dt>{text.pair.together}</dt>
      </div>
      <div>
        <dd>{encounters.length}</dd>
        <dt>{text.pair.encounters(encounters.length)}</dt>
      </div>
      <div>
        <dd>{text.metres(nearest)}</dd>
        <dt>{text.pair.nearest}</dt>
      </div>
      <div>
        <dd>{last && moment(last, zone)}</dd>
        <dt>{text.pair.last}</dt>
      </div>
    </dl>
  );
}

/** When an encounter was: `Tue 2 Jun, 10:05 – 10:25`. */
function span(encounter: Encounter, zone: string): string {
  const from = moment(encounter.start, zone);
  const sameDay = from.split(',')[0] === moment(encounter.end, zone).split(',')[0];
  const to = sameDay ? clock(encounter.end, zone) : moment(encounter.end, zone);
  return from.endsWith(to) ? from : text.pair.span(from, to);
}

function Encounters({
  id,
  encounters,
  choices,
  range,
}: {
  id: string;
  encounters: Encounter[];
  choices: Choices;
  range: { from: string; to: string };
}) {
  const [params, setParams] = useSearchParams();
  const track = useQuery(trackQuery(id, range, choices.zone));
  const chosenAt = params.get('at');
  const index = encounters.findIndex((encounter) => toApi(encounter.start) === chosenAt);
  const selected = index === -1 ? null : index;
  const { place, reveal, back } = useReveal<HTMLElement>();
  const select = (next: number, inList = true) => {
    const encounter = encounters[next];
    if (!encounter) return;
    if (inList && next !== selected) reveal(next);
    setParams(
      (old) => {
        const changed = new URLSearchParams(old);
        if (next === selected) changed.delete('at');
        else changed.set('at', toApi(encounter.start));
        return changed;
      },
      { replace: true, preventScrollReset: true },
    );
  };
  const chosen = selected === null ? undefined : encounters[selected];
  const points = useMemo(
    () =>
      encounters.map((encounter, number) => ({
        id: String(number),
        latitude: encounter.closest.latitude,
        longitude: encounter.closest.longitude,
        badge: String(number + 1),
        label: text.pair.point(number + 1, moment(encounter.closest.time, choices.zone), encounter.closest_m),
      })),
    [encounters, choices.zone],
  );
  // In a group each tap chooses the next one.
  const selectOf = (ids: string[]) => {
    const numbers = ids.map(Number);
    const next = numbers[(selected === null ? -1 : numbers.indexOf(selected)) + 1] ?? numbers[0];
    if (next !== undefined) select(next, false);
  };
  return (
    <div className="pair-body">
      <section className="card" aria-labelledby="timeline-title">
        <h2 id="timeline-title">{text.pair.timeline}</h2>
        <Timeline encounters={encounters} zone={choices.zone} selected={selected} onSelect={select} />
      </section>
      <section ref={place} tabIndex={-1} className="card pair-map" aria-labelledby="map-title">
        <h2 id="map-title">{text.pair.where}</h2>
        <LazyMap
          ground={track.data?.items ?? NO_GROUND}
          points={points}
          selected={selected === null ? [] : [String(selected)]}
          onSelect={selectOf}
          clusterLabel={(items) =>
            text.day.cluster(
              items.length,
              items.map((item) => item.badge),
            )
          }
          fitKey={`${range.from} ${range.to} ${track.data ? 'all' : 'points'}`}
        />
        {chosen && (
          <p className="chosen-here">
            <span className="badge" aria-hidden="true">
              {(selected ?? 0) + 1}
            </span>
            <span>
              <strong>{span(chosen, choices.zone)}</strong> {text.pair.how(chosen.duration, chosen.closest_m)}
            </span>
          </p>
        )}
        {back && <BackToList onBack={back} />}
      </section>
      <section className="card pair-list" aria-labelledby="encounters-title">
        <h2 id="encounters-title">{text.pair.list}</h2>
        <VirtualList
          className="encounters"
          items={encounters}
          keyOf={(encounter) => toApi(encounter.start)}
          label={text.pair.list}
          estimate={58}
        >
          {(encounter, number) => (
            <button
              type="button"
              aria-pressed={number === selected}
              onClick={() => {
                select(number);
              }}
            >
              <span className="badge" aria-hidden="true">
                {number + 1}
              </span>
              <span>
                <strong>{span(encounter, choices.zone)}</strong>
                <small>{text.pair.how(encounter.duration, encounter.closest_m)}</small>
              </span>
            </button>
          )}
        </VirtualList>
      </section>
    </div>
  );
}

function None({
  a,
  b,
  choices,
  change,
}: {
  a: Person;
  b: Person;
  choices: Choices;
  change: (c: Partial<Choices>) => void;
}) {
  if (a.id === b.id) return <EmptyState title={text.pair.self} />;
  const help = widerThan(choices).length > 0 || choices.range ? { help: text.pair.noneHelp } : {};
  return (
    <EmptyState title={text.pair.none(a.first_name, b.first_name)} {...help}>
      <Widen choices={choices} change={change} />
    </EmptyState>
  );
}

function Between({ a, b }: { a: Person; b: Person }) {
  const id = String(a.id);
  const [choices, change] = useChoices();
  const { query: days, event, runs, whole, range, without } = useEventRange(id, choices);
  const options = encountersQuery(id, String(b.id), range, choices.zone, choices.meeting);
  const encounters = useSteady(
    useQuery({ ...options, enabled: range !== null, placeholderData: keepPreviousData }),
    options.queryKey,
  );
  if (without && choices.range === null) {
    return <EmptyState title={text.person.noLocations(a.first_name)} help={text.person.noLocationsHelp} />;
  }
  // Those of other choices until these are answered.
  const waiting = encounters.data === undefined;
  const found = encounters.data ?? (encounters.earlier?.length === 0 ? undefined : encounters.earlier);
  const stale = waiting ? 'stale' : undefined;
  return (
    <>
      <OtherDays
        name={a.first_name}
        runs={runs}
        whole={whole}
        range={range}
        onRange={(next) => {
          change({ range: next });
        }}
      />
      <Outdated question={encounters} />
      <p className="visually-hidden" role="status">
        {waiting && found ? text.person.asking : ''}
      </p>
      {found === undefined ? (
        <div className="figures" aria-hidden="true">
          {[0, 1, 2, 3].map((place) => (
            <div key={place} className="skeleton skeleton-figure" />
          ))}
        </div>
      ) : (
        found.length > 0 && (
          <div className={stale} aria-busy={waiting}>
            <Figures encounters={found} zone={choices.zone} />
          </div>
        )
      )}
      <Filters event={event} whole={whole} range={range} choices={choices} change={change} />
      {found === undefined || range === null ? (
        <Unanswered question={range ? encounters : days} skeleton={<SkeletonRows rows={6} className="row met" />} />
      ) : found.length === 0 ? (
        <None a={a} b={b} choices={choices} change={change} />
      ) : (
        <div className={stale} aria-busy={waiting}>
          <Encounters id={id} encounters={found} choices={choices} range={range} />
        </div>
      )}
      <ZoneNote at={found?.[0]?.start ?? NOW} />
    </>
  );
}

/** Two persons, and when and where they met. */
export function PairPage() {
  const { id = '', otherId = '' } = useParams();
  const [choices] = useChoices();
  const a = usePerson(id);
  const b = usePerson(otherId);
  const namesakes = a.data?.first_name === b.data?.first_name;
  const called = (person: Person) => (namesakes ? fullName(person) : person.first_name);
  const failed = [a, b].find((question) => question.data === undefined && (question.error ?? question.paused));
  if (failed) return <PersonUnknown question={failed} />;
  return (
    <div className="pair">
      <header className="pair-head">
        <span className="avatar-pair">
          {a.data ? <Avatar person={a.data} size="l" /> : <span className="skeleton skeleton-avatar avatar-l" />}
          {b.data ? <Avatar person={b.data} size="l" /> : <span className="skeleton skeleton-avatar avatar-l" />}
        </span>
        <div>
          <Heading title={a.data && b.data ? text.pair.title(fullName(a.data), fullName(b.data)) : text.states.loading}>
            {a.data && b.data ? (
              text.pair.title(fullName(a.data), fullName(b.data))
            ) : (
              <span className="skeleton skeleton-title" />
            )}
          </Heading>
          <p className="pair-links">
            {a.data && <Link to={withChoices(`/people/${id}`, choices)}>{text.person.title(called(a.data))}</Link>}
            {b.data && <Link to={withChoices(`/people/${otherId}`, choices)}>{text.person.title(called(b.data))}</Link>}
          </p>
        </div>
      </header>
      {a.data && b.data ? (
        <Between key={`${id} ${otherId}`} a={a.data} b={b.data} />
      ) : (
        <SkeletonRows rows={6} className="row met" />
      )}
    </div>
  );
}
