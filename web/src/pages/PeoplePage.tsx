import { keepPreviousData, useInfiniteQuery } from '@tanstack/react-query';
import { ChevronRight, Search, X } from 'lucide-react';
import { useEffect, useMemo, useRef, useState, type KeyboardEvent } from 'react';
import { Link, useSearchParams } from 'react-router';
import { peopleQuery } from '../api/queries';
import type { Person } from '../api/schema';
import { Avatar } from '../components/Avatar';
import { Heading } from '../components/Heading';
import { EmptyState, SkeletonRows, Unanswered } from '../components/states';
import { VirtualList } from '../components/VirtualList';
import { fullName } from '../lib/person';
import { text } from '../text';

/** Pause in typing after which the question is sent, in milliseconds. */
const PAUSE_MS = 180;

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

  const people = useInfiniteQuery({ ...peopleQuery(q), placeholderData: keepPreviousData });
  const items = useMemo(() => people.data?.pages.flatMap((page) => page.items), [people.data]);
  const { fetchNextPage } = people;
  const onMore = useMemo(() => () => void fetchNextPage(), [fetchNextPage]);

  return (
    <div className="people">
      <div className="people-head">
        <Heading title={text.people.title} />
        <p className="lead">{text.people.lead}</p>
        <SearchBox value={typed} onChange={setTyped} />
        <p className="found" role="status">
          {items !== undefined && items.length > 0 && text.people.found(items.length, people.hasNextPage)}
        </p>
      </div>
      {items === undefined ? (
        <Unanswered question={people} skeleton={<SkeletonRows rows={10} className="row" />} />
      ) : items.length === 0 ? (
        q === '' ? (
          <EmptyState title={text.people.empty} help={text.people.emptyHelp}>
            <Link className="button" to="/add">
              {text.add.title}
            </Link>
          </EmptyState>
        ) : (
          <EmptyState title={text.people.none(q)} help={text.people.noneHelp} />
        )
      ) : (
        <VirtualList
          items={items}
          keyOf={(person) => person.id}
          label={text.people.list}
          estimate={68}
          more={people.hasNextPage && !people.isFetchNextPageError}
          loading={people.isFetchingNextPage}
          onMore={onMore}
        >
          {(person) => <PersonRow person={person} />}
        </VirtualList>
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
