import type { Person } from '../api/schema';
import { hue, initials } from '../lib/person';

/** The round sign of a person. Decoration: the name always stands beside it. */
export function Avatar({ person, size = 'm' }: { person: Person; size?: 's' | 'm' | 'l' }) {
  return (
    <span className={`avatar avatar-${size} hue-${hue(person.id)}`} aria-hidden="true">
      {initials(person)}
    </span>
  );
}
