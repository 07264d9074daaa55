import { keepPreviousData, useInfiniteQuery } from '@tanstack/react-query';
import { ChevronRight, Search, X } from 'lucide-react';
import { useEffect, useMemo, useRef, useState, type KeyboardEvent } from 'react';
import { Link, useSearchParams } from 'react-router';
import { peopleQuery } from '../api/queries';
import type { Person } from '../api/schema';
import { Avatar } from '../components/Avatar';
import { Heading } from '../components/Heading';
import { EmptyState, Outdated, SkeletonRows, Unanswered } from '../components/states';
import { VirtualList } from '../components/VirtualList';
import { fullName } from '../lib/person';
import { useSteady } from '../lib/useSteady';
import { text } from '../text';

/** Pause in typing after which the question is sent, in milliseconds. */
const PAUSE_MS = 180;
/** No name is longer. */
const MOST_LETTERS = 200;

/** A search as a message quotes it. */
const shortened = (q: string) => (q.length > 40 ? `${Array.from(q).slice(0, 40).join('')}…` : q);

function PersonRow({ person }: { person: Person }) {
  return (
    <Link to={`/people/${person.id}`} className="row">
      <Avatar person={person} />
      <span className="row-main">
        <span className="row-name">{fullName(person)}</span>
        <span className="row-sub">{person.company_name}</span>
      </span>
      <ChevronRight className="row-go" aria-hidden="true" />
    </Link>
  );
}

function SearchBox({ value, onChange }: { value: string; onChange: (value: string) => void }) {
  const input = useRef<HTMLInputElement>(null);
  const toList = (event: KeyboardEvent) => {
    if (event.key !== 'ArrowDown') return;
    const first = document.querySelector<HTMLElement>('.virtual-list a');
    if (!first) return;
    event.preventDefault();
    first.focus();
  };
  return (
    <form
      role="search"
      className="search"
      onSubmit={(event) => {
        event.preventDefault();
      }}
    >
      <Search aria-hidden="true" />
      <input
        ref={input}
        type="search"
        aria-label={text.people.search}
        placeholder={text.people.search}
        autoComplete="off"
        spellCheck={false}
        maxLength={MOST_LETTERS}
        enterKeyHint="search"
        value={value}
        onChange={(event) => {
          onChange(event.target.value);
        }}
        onKeyDown={toList}
      />
      {value !== '' && (
        <button
          type="button"
          className="icon-button"
          aria-label={text.people.clear}
          onClick={() => {
            onChange('');
            input.current?.focus();
          }}
        >
          <X aria-hidden="true" />
        </button>
      )}
    </form>
  );
}

/** Everybody; found as one types. */
export function PeoplePage() {
  const [params, setParams] = useSearchParams();
  const q = params.get('q') ?? '';
  const [typed, setTyped] = useState(q);
  const written = useRef(q);

  // The address may change from outside, by going back.
  useEffect(() => {
    if (q !== written.current) {
      written.current = q;
      setTyped(q);
    }
  }, [q]);

  useEffect(() => {
    const next = typed.trim();
    if (next === written.current) return;
    const timer = setTimeout(() => {
      written.current = next;
      setParams(next === '' ? {} : { q: next }, { replace: true, preventScrollReset: true });
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
    };
  }, [typed, setParams]);

  const options = peopleQuery(q);
  const people = useInfiniteQuery({ ...options, placeholderData: keepPreviousData });
  const steady = useSteady(people, options.queryKey);
  const shown = steady.data ?? steady.earlier;
  const items = useMemo(() => shown?.pages.flatMap((page) => page.items), [shown]);
  const { fetchNextPage } = people;
  const onMore = useMemo(() => () => void fetchNextPage(), [fetchNextPage]);
  // The list is of another search until this one is answered.
  const waiting = steady.data === undefined;

  return (
    <div className="people">
      <div className="people-head">
        <Heading title={text.people.title} />
        <p className="lead">{text.people.lead}</p>
        <SearchBox value={typed} onChange={setTyped} />
        <p className="found" role="status">
          {steady.earlier !== undefined
            ? text.people.searching
            : items !== undefined && items.length > 0 && text.people.found(items.length, people.hasNextPage)}
        </p>
      </div>
      <Outdated question={steady} />
      {items === undefined || (waiting && items.length === 0) ? (
        <Unanswered question={steady} skeleton={<SkeletonRows rows={10} className="row" />} />
      ) : items.length === 0 ? (
        q === '' ? (
          <EmptyState title={text.people.empty} help={text.people.emptyHelp}>
            <Link className="button" to="/add">
              {text.add.title}
            </Link>
          </EmptyState>
        ) : (
          <EmptyState title={text.people.none(shortened(q))} help={text.people.noneHelp} />
        )
      ) : (
        <div className={waiting ? 'stale' : undefined} aria-busy={waiting}>
          <VirtualList
            items={items}
            keyOf={(person) => person.id}
            label={text.people.list}
            estimate={68}
            more={!waiting && people.hasNextPage && !people.isFetchNextPageError}
            loading={people.isFetchingNextPage}
            onMore={onMore}
          >
            {(person) => <PersonRow person={person} />}
          </VirtualList>
        </div>
      )}
      {people.isFetchNextPageError && (
        <p className="state-actions">
          <button type="button" className="button" onClick={onMore}>
            {text.states.more}
          </button>
        </p>
      )}
    </div>
  );
}
