import { describe, expect, it } from 'vitest';
import { readChoices, withChoices, writeChoices } from './search';

const read = (query: string) => readChoices(new URLSearchParams(query));

describe('choices in the address', () => {
  it('are the event at the same booth by default', () => {
    expect(read('')).toEqual({
      range: null,
      preset: 'booth',
      meeting: { distance: 10, minutes: 5 },
      atLeast: 0,
      zone: 'UTC',
    });
  });

  it('come back as they were', () => {
    for (const query of [
      'from=2026-06-01&to=2026-06-03&near=arm&atleast=15&tz=America%2FDenver',
      'near=exact&distance=2.5&minutes=0',
      'from=2026-06-01&tz=UTC',
    ])
      expect(writeChoices(read(query)).toString()).toBe(query);
  });

  it('name the zone of a day, which elsewhere is another', () => {
    const choices = { ...read(''), range: { from: '2026-06-01', to: '2026-06-01' } };
    expect(withChoices('/people/1', choices)).toBe('/people/1?from=2026-06-01&tz=UTC');
  });

  it('are as by default where they make no sense', () => {
    for (const query of [
      'from=2026-06-31',
      'from=2026-06-03&to=2026-06-01',
      'near=moon',
      'near=toString',
      'near=exact&distance=0&minutes=-1',
      'atleast=x',
      'tz=Mars/Olympus',
    ]) {
      const { range, meeting, atLeast, zone } = read(query);
      expect({ range, meeting, atLeast, zone }, query).toEqual({
        range: null,
        meeting: { distance: 10, minutes: 5 },
        atLeast: 0,
        zone: 'UTC',
      });
    }
  });
});
