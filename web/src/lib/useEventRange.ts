import { useQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import { daysQuery } from '../api/queries';
import type { Choices, Range } from './search';
import { lastEvent, type Day } from './time';

/** The days of the event as the person's locations tell, and the range that the view shows. */
export function useEventRange(id: string, choices: Choices) {
  const query = useQuery(daysQuery(id, choices.zone));
  const days = query.data;
  const event = useMemo<Day[]>(() => lastEvent(days ?? []), [days]);
  const first = event[0];
  const last = event.at(-1);
  const whole = useMemo<Range | null>(
    () => (first !== undefined && last !== undefined ? { from: first, to: last } : null),
    [first, last],
  );
  // A range in the address needs no asking for the days.
  return { query, event, whole, range: choices.range ?? whole, without: days?.length === 0 };
}
