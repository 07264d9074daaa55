import { hashKey } from '@tanstack/react-query';
import { useState } from 'react';

interface Result<T> {
  data: T | undefined;
  error: Error | null;
  status: 'pending' | 'error' | 'success';
  fetchStatus: 'fetching' | 'paused' | 'idle';
  isPlaceholderData: boolean;
  dataUpdatedAt: number;
  refetch: () => Promise<unknown>;
}

/** What a view shows of a question. It changes when something is known, not whenever something is tried. */
export interface Steady<T> {
  /** The answer to this very question. */
  data: T | undefined;
  /** The answer to the question before, until there is one to this or it is clear that there will be none. */
  earlier: T | undefined;
  /** Why there is no answer, or no newer one than `data`. Asking again does not take it back; an answer does. */
  error: Error | null;
  /** Whether the question waits for the device to be online. */
  paused: boolean;
  /** When `data` came, in milliseconds since 1970. */
  asOf: number;
  refetch: () => Promise<unknown>;
}

/**
 * A question's state without its flicker: while a question that failed is asked again and again, the library forgets the
 * error and shows the answer before, each time anew.
 */
export function useSteady<T>(result: Result<T>, queryKey: readonly unknown[]): Steady<T> {
  const key = hashKey(queryKey);
  const [held, hold] = useState<{ key: string; error: Error | null }>({ key, error: null });
  const answered = result.status === 'success' && !result.isPlaceholderData;
  const before = held.key === key ? held.error : null;
  const error = result.error ?? (answered ? null : before);
  if (held.key !== key || held.error !== error) hold({ key, error });
  const data = result.isPlaceholderData ? undefined : result.data;
  const paused = data === undefined && error === null && result.fetchStatus === 'paused';
  return {
    data,
    earlier: result.isPlaceholderData && error === null && !paused ? result.data : undefined,
    error,
    paused,
    asOf: result.dataUpdatedAt,
    refetch: result.refetch,
  };
}
