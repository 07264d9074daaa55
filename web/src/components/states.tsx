import { CloudOff, RotateCw, SearchX, Telescope } from 'lucide-react';
import { useState, type ReactNode } from 'react';
import { Link } from 'react-router';
import { ApiError } from '../api/client';
import { clock } from '../lib/format';
import { deviceZone } from '../lib/time';
import type { Steady } from '../lib/useSteady';
import { text } from '../text';
import { Heading } from './Heading';

/** What stands where things would be when there are none, with what to try. */
export function EmptyState({ title, help, children }: { title: string; help?: string; children?: ReactNode }) {
  return (
    <div className="state">
      <Telescope className="state-icon" aria-hidden="true" />
      <h2>{title}</h2>
      {help !== undefined && <p>{help}</p>}
      {children !== undefined && <div className="state-actions">{children}</div>}
    </div>
  );
}

/** What happened, and a way to try again. */
export function ErrorState({
  title,
  help,
  onRetry,
}: {
  title: string;
  help?: string;
  /** What it returns ends when it is known whether trying again helped. */
  onRetry?: () => unknown;
}) {
  return (
    <div className="state" role="alert">
      <CloudOff className="state-icon" aria-hidden="true" />
      <h2>{title}</h2>
      {help !== undefined && <p>{help}</p>}
      {onRetry && (
        <div className="state-actions">
          <RetryButton onRetry={onRetry} />
        </div>
      )}
    </div>
  );
}

/** Says that it is trying until it is known whether that helped. */
function RetryButton({ onRetry }: { onRetry: () => unknown }) {
  const [trying, setTrying] = useState(false);
  return (
    <button
      type="button"
      className="button"
      aria-disabled={trying}
      onClick={() => {
        if (trying) return;
        setTrying(true);
        void Promise.resolve(onRetry())
          .catch(() => undefined)
          .then(() => {
            setTrying(false);
          });
      }}
    >
      <RotateCw aria-hidden="true" /> {trying ? text.states.retrying : text.states.retry}
    </button>
  );
}

const DATES = ['start_date', 'end_date', 'tz'];

/** What the visitor is told about an error: what it means, and what to do about it. Numbers and codes help nobody. */
export function describe(error: Error): { title: string; help: string } {
  const { states } = text;
  if (!(error instanceof ApiError)) return { title: states.failed, help: states.failedHelp };
  switch (error.kind) {
    case 'unreachable':
      return { title: states.unreachable, help: states.unreachableHelp };
    case 'unexpected':
      return { title: states.failed, help: states.unexpected };
    case 'status':
      if (error.status === 404 || error.status === 410) return { title: states.notFound, help: states.notFoundHelp };
      if (error.status === 429 || error.status === 503) return { title: states.busy, help: states.busyHelp };
      if (error.status >= 500) return { title: states.failed, help: states.oursHelp };
      // A question that is right but costs too much names no field.
      if (error.fields.length === 0) return { title: states.tooMuch, help: states.tooMuchHelp };
      if (error.fields.some(({ field }) => field === 'q'))
        return { title: states.badSearch, help: states.badSearchHelp };
      if (error.fields.some(({ field }) => DATES.includes(field)))
        return { title: states.refused, help: states.badDatesHelp };
      return { title: states.refused, help: states.refusedHelp };
  }
}

type Question = Pick<Steady<unknown>, 'error' | 'paused' | 'refetch'>;

/** A question that has no answer (yet): offline, failed, or else the skeleton of what will come. */
export function Unanswered({ question, skeleton }: { question: Question; skeleton: ReactNode }) {
  if (question.error) return <QueryError error={question.error} onRetry={question.refetch} />;
  if (question.paused) {
    return (
      <div className="state">
        <CloudOff className="state-icon" aria-hidden="true" />
        <h2>{text.states.paused}</h2>
        <p>{text.states.pausedHelp}</p>
      </div>
    );
  }
  return skeleton;
}

function QueryError({ error, onRetry }: { error: Error; onRetry: () => unknown }) {
  const { title, help } = describe(error);
  if (error instanceof ApiError && !error.passing && error.kind === 'status') {
    return (
      <div className="state">
        <SearchX className="state-icon" aria-hidden="true" />
        <h2>{title}</h2>
        <p>{help}</p>
      </div>
    );
  }
  return <ErrorState title={title} help={help} onRetry={onRetry} />;
}

/** Beside an answer that could not be asked for anew: since when it stands. */
export function Outdated({ question }: { question: Steady<unknown> }) {
  const { data, error, asOf } = question;
  if (data === undefined || !error) return null;
  return (
    <p className="outdated" role="status">
      <CloudOff aria-hidden="true" />
      <span>
        {text.states.outdated(clock(asOf, deviceZone()))} {describe(error).title}.
      </span>
    </p>
  );
}

/** Instead of a view about a person whom nobody can be shown: nobody has the number, or the question failed. */
export function PersonUnknown({ question }: { question: Question }) {
  const { error } = question;
  const nobody = error instanceof ApiError && (error.status === 404 || error.status === 400);
  const title = nobody
    ? text.states.nobodyHas
    : question.paused
      ? text.states.paused
      : error
        ? describe(error).title
        : text.states.loading;
  return (
    <>
      <Heading title={title} className="visually-hidden" />
      {nobody ? (
        <div className="state">
          <SearchX className="state-icon" aria-hidden="true" />
          <h2>{title}</h2>
          <p>{text.states.nobodyHasHelp}</p>
          <div className="state-actions">
            <Link className="button" to="/">
              {text.states.toPeople}
            </Link>
          </div>
        </div>
      ) : (
        <Unanswered question={question} skeleton={null} />
      )}
    </>
  );
}

/** Grey rows of the size of what will come, so that nothing jumps. */
export function SkeletonRows({ rows, className }: { rows: number; className: string }) {
  return (
    <div role="status" className="skeleton-rows">
      <span className="visually-hidden">{text.states.loading}</span>
      {Array.from({ length: rows }, (_, index) => (
        <div key={index} className={`skeleton-row ${className}`} aria-hidden="true">
          <span className="skeleton skeleton-avatar" />
          <span className="skeleton-lines">
            <span className="skeleton skeleton-line" />
            <span className="skeleton skeleton-line short" />
          </span>
        </div>
      ))}
    </div>
  );
}
