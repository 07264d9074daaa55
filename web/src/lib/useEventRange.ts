import { useQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import { daysQuery } from '../api/queries';
import type { Choices, Range } from './search';
import { eventOf, runsOf, type Day, type Run } from './time';
import { useSteady } from './useSteady';

const NO_DAYS: Day[] = [];

const rangeOf = ({ days }: Run): Range => ({ from: days[0] ?? '', to: days.at(-1) ?? '' });

/** The days of the event as the person's locations tell, the other times that have any, and the range that the view shows. */
export function useEventRange(id: string, choices: Choices) {
  const options = daysQuery(id, choices.zone);
  const query = useSteady(useQuery(options), options.queryKey);
  const days = query.data;
  const { event, whole, runs } = useMemo(() => {
    const all = runsOf(days ?? []);
    const main = eventOf(all);
    return { event: main?.days ?? NO_DAYS, whole: main ? rangeOf(main) : null, runs: all.map(rangeOf) };
  }, [days]);
  // A range in the address needs no asking for the days.
  return { query, event, runs, whole, range: choices.range ?? whole, without: days?.length === 0 };
}
