import { CloudOff, RotateCw, SearchX, Telescope } from 'lucide-react';
import type { ReactNode } from 'react';
import { ApiError } from '../api/client';
import { text } from '../text';

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
export function ErrorState({ title, help, onRetry }: { title: string; help?: string; onRetry?: () => void }) {
  return (
    <div className="state" role="alert">
      <CloudOff className="state-icon" aria-hidden="true" />
      <h2>{title}</h2>
      {help !== undefined && <p>{help}</p>}
      {onRetry && (
        <div className="state-actions">
          <button type="button" className="button" onClick={onRetry}>
            <RotateCw aria-hidden="true" /> {text.states.retry}
          </button>
        </div>
      )}
    </div>
  );
}

/** What the visitor is told about an error: the server's own words where it has some. */
export function describe(error: Error): { title: string; help: string } {
  const { states } = text;
  if (!(error instanceof ApiError)) return { title: states.failed, help: error.message };
  switch (error.kind) {
    case 'unreachable':
      return { title: states.unreachable, help: states.unreachableHelp };
    case 'unexpected':
      return { title: states.failed, help: states.unexpected };
    case 'status':
      if (error.status === 404) return { title: states.notFound, help: error.message };
      if (error.status === 429) return { title: states.busy, help: states.busyHelp };
      return { title: states.failed, help: error.message };
  }
}

interface Question {
  error: Error | null;
  fetchStatus: 'fetching' | 'paused' | 'idle';
  refetch: () => unknown;
}

/** A question that has no answer (yet): offline, failed, or else the skeleton of what will come. */
export function Unanswered({ question, skeleton }: { question: Question; skeleton: ReactNode }) {
  if (question.error) return <QueryError error={question.error} onRetry={() => void question.refetch()} />;
  if (question.fetchStatus === 'paused') {
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

function QueryError({ error, onRetry }: { error: Error; onRetry: () => void }) {
  const { title, help } = describe(error);
  if (error instanceof ApiError && error.status === 404) {
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
