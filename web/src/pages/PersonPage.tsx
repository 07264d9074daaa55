import { keepPreviousData, useInfiniteQuery, usePrefetchQuery } from '@tanstack/react-query';
import { Map as MapIcon, MapPin } from 'lucide-react';
import { useMemo } from 'react';
import { Link, useParams } from 'react-router';
import { connectionsQuery, daysQuery } from '../api/queries';
import type { Connection, Person } from '../api/schema';
import { Avatar } from '../components/Avatar';
import { Constellation } from '../components/Constellation';
import { Filters } from '../components/Filters';
import { Heading } from '../components/Heading';
import { EmptyState, Outdated, PersonUnknown, SkeletonRows, Unanswered } from '../components/states';
import { OtherDays } from '../components/OtherDays';
import { VirtualList } from '../components/VirtualList';
import { Widen, widerThan } from '../components/Widen';
import { ZoneNote } from '../components/ZoneNote';
import { moment } from '../lib/format';
import { fullName } from '../lib/person';
import { useChoices, withChoices, type Choices } from '../lib/search';
import { dayStart } from '../lib/time';
import { useEventRange } from '../lib/useEventRange';
import { usePerson } from '../lib/usePerson';
import { useSteady } from '../lib/useSteady';
import { text } from '../text';

/** A time to take the zone's offset from before the data is there. */
const NOW = new Date();

function ConnectionRow({
  connection,
  longest,
  zone,
  to,
}: {
  connection: Connection;
  longest: number;
  zone: string;
  to: string;
}) {
  const { person } = connection;
  return (
    <Link to={to} className="row met">
      <Avatar person={person} />
      <span className="row-main">
        <span className="row-name">{fullName(person)}</span>
        <span className="row-sub">{person.company_name}</span>
        <span className="bar" aria-hidden="true">
          <span style={{ width: `${Math.max(2, (100 * connection.total_duration) / Math.max(longest, 1))}%` }} />
        </span>
        <span className="row-facts">
          <span>{text.person.times(connection.encounters)}</span>
          <span>{text.person.nearest(connection.closest_m)}</span>
          <span>{text.person.last(moment(connection.last_met, zone))}</span>
        </span>
      </span>
      <span className="row-figure">
        <strong>{text.duration(connection.total_duration)}</strong>
        <small>{text.person.together}</small>
      </span>
    </Link>
  );
}

function Nobody({
  person,
  choices,
  change,
}: {
  person: Person;
  choices: Choices;
  change: (c: Partial<Choices>) => void;
}) {
  return (
    <EmptyState
      title={text.person.nobody(person.first_name)}
      {...(widerThan(choices).length > 0 || choices.range || choices.atLeast > 0
        ? { help: text.person.nobodyHelp }
        : {})}
    >
      <Widen choices={choices} change={change} />
      {choices.atLeast > 0 && (
        <button
          type="button"
          className="button"
          onClick={() => {
            change({ atLeast: 0 });
          }}
        >
          {text.person.anyLength}
        </button>
      )}
    </EmptyState>
  );
}

function Head({ id, person, choices }: { id: string; person: Person | undefined; choices: Choices }) {
  return (
    <header className="person-head">
      {person ? <Avatar person={person} size="l" /> : <span className="skeleton skeleton-avatar avatar-l" />}
      <div>
        <Heading title={person ? text.person.title(fullName(person)) : text.states.loading}>
          {person ? fullName(person) : <span className="skeleton skeleton-title" />}
        </Heading>
        <p className="company">{person ? person.company_name : <span className="skeleton skeleton-line short" />}</p>
      </div>
      <p className="person-actions">
        <Link className="button" to={withChoices(`/people/${id}/map`, choices)}>
          <MapIcon aria-hidden="true" /> {text.person.map}
        </Link>
        <Link className="button quiet" to={withChoices(`/people/${id}/record`, choices)}>
          <MapPin aria-hidden="true" /> {text.person.record}
        </Link>
      </p>
    </header>
  );
}

function Meetings({ id, person }: { id: string; person: Person }) {
  const [choices, change] = useChoices();
  const { query: days, event, runs, whole, range, without } = useEventRange(id, choices);
  const options = connectionsQuery(id, range, choices.zone, choices.meeting, choices.atLeast);
  const connections = useInfiniteQuery({
    ...options,
    enabled: range !== null,
    placeholderData: keepPreviousData,
  });
  const steady = useSteady(connections, options.queryKey);
  const shown = steady.data ?? steady.earlier;
  // The list is of other choices until these are answered.
  const waiting = steady.data === undefined;
  const items = useMemo(() => shown?.pages.flatMap((page) => page.items), [shown]);
  const { fetchNextPage } = connections;
  const onMore = useMemo(() => () => void fetchNextPage(), [fetchNextPage]);
  const toPair = (other: Person) => withChoices(`/people/${id}/with/${other.id}`, choices);
  const strongest = items?.[0];

  if (without && choices.range === null) {
    return (
      <EmptyState title={text.person.noLocations(person.first_name)} help={text.person.noLocationsHelp}>
        <Link className="button" to={withChoices(`/people/${id}/record`, choices)}>
          {text.person.record}
        </Link>
      </EmptyState>
    );
  }
  return (
    <div className="person-body">
      <aside className="person-side">
        <div className={`card constellation-card${waiting && strongest ? ' stale' : ''}`}>
          {strongest ? (
            <Constellation person={person} connections={items} toPair={toPair} />
          ) : (
            <div className="constellation" aria-hidden="true" />
          )}
        </div>
        <Filters withLength unfold event={event} whole={whole} range={range} choices={choices} change={change} />
      </aside>
      <section className="person-list">
        <OtherDays
          name={person.first_name}
          runs={runs}
          whole={whole}
          range={range}
          onRange={(next) => {
            change({ range: next });
          }}
        />
        <p className="summary" role="status">
          {steady.earlier !== undefined
            ? text.person.asking
            : strongest && (
                <>
                  {text.person.summary(person.first_name, text.person.met(items.length, connections.hasNextPage))}.{' '}
                  {strongest.total_duration >= 60 &&
                    text.person.most(fullName(strongest.person), text.duration(strongest.total_duration))}
                </>
              )}
        </p>
        <Outdated question={steady} />
        {items === undefined || (waiting && strongest === undefined) ? (
          <Unanswered question={range ? steady : days} skeleton={<SkeletonRows rows={8} className="row met" />} />
        ) : strongest === undefined ? (
          <Nobody person={person} choices={choices} change={change} />
        ) : (
          <div className={waiting ? 'stale' : undefined} aria-busy={waiting}>
            <VirtualList
              items={items}
              keyOf={(connection) => connection.person.id}
              label={text.person.listLabel}
              estimate={104}
              more={!waiting && connections.hasNextPage && !connections.isFetchNextPageError}
              loading={connections.isFetchingNextPage}
              onMore={onMore}
            >
              {(connection) => (
                <ConnectionRow
                  connection={connection}
                  longest={strongest.total_duration}
                  zone={choices.zone}
                  to={toPair(connection.person)}
                />
              )}
            </VirtualList>
          </div>
        )}
        {connections.isFetchNextPageError && (
          <p className="state-actions">
            <button type="button" className="button" onClick={onMore}>
              {text.states.more}
            </button>
          </p>
        )}
        <ZoneNote at={range ? dayStart(range.from, choices.zone) : NOW} />
      </section>
    </div>
  );
}

/** A person, and whom they met. */
export function PersonPage() {
  const { id = '' } = useParams();
  const [choices] = useChoices();
  // Both at once; the one after the other would take twice as long.
  usePrefetchQuery(daysQuery(id, choices.zone));
  const person = usePerson(id);
  if (person.data === undefined && (person.error ?? person.paused)) return <PersonUnknown question={person} />;
  return (
    <>
      <Head id={id} person={person.data} choices={choices} />
      {person.data ? <Meetings key={id} id={id} person={person.data} /> : <SkeletonRows rows={8} className="row met" />}
    </>
  );
}
