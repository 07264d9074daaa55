import type { ReactNode } from 'react';
import { useParams } from 'react-router';
import { ApiError } from '../api/client';
import { isPersonId } from '../lib/person';
import { PersonUnknown } from './states';

const NOBODY = {
  error: new ApiError('status', 'no such number', { status: 404 }),
  paused: false,
  refetch: () => Promise.resolve(),
};

/** A view about persons. What cannot be the number of any is not asked for. */
export function ForPerson({ children }: { children: ReactNode }) {
  const { id, otherId } = useParams();
  const possible = [id, otherId].every((number) => number === undefined || isPersonId(number));
  return possible ? children : <PersonUnknown question={NOBODY} />;
}
