import type { Person } from '../api/schema';

export function fullName(person: Pick<Person, 'first_name' | 'last_name'>): string {
  return `${person.first_name} ${person.last_name}`.trim();
}

/** One or two letters for a round sign; whole characters, also beyond the Latin alphabet. */
export function initials(person: Pick<Person, 'first_name' | 'last_name'>): string {
  const first = (word: string) => Array.from(word.trim())[0] ?? '';
  return (first(person.first_name) + first(person.last_name)).toLocaleUpperCase();
}

/** How many colours avatars have. */
export const HUES = 8;

/** The colour of a person, the same everywhere. Neighbouring numbers differ. */
export function hue(id: number): number {
  return (Math.abs(id) * 5) % HUES;
}

/** Whether the text may be the number of a person. Larger ones are not exact in JavaScript, nor given by the database. */
export function isPersonId(text: string): boolean {
  return /^[1-9]\d{0,14}$/.test(text);
}
