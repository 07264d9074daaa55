import { useQuery } from '@tanstack/react-query';
import { personQuery } from '../api/queries';
import type { Person } from '../api/schema';
import { useSteady, type Steady } from './useSteady';

/** The person of this number. */
export function usePerson(id: string): Steady<Person> {
  const options = personQuery(id);
  return useSteady(useQuery(options), options.queryKey);
}
