import { Clock } from 'lucide-react';
import { config } from '../config';
import { zoneName, zoneOffset } from '../lib/format';
import { useChoices, zonesToChoose } from '../lib/search';
import { deviceZone } from '../lib/time';
import { text } from '../text';

/** Says in which time zone the times of the view are, and lets one choose. `at` is the time whose offset is shown. */
export function ZoneNote({ at }: { at: Date }) {
  const [choices, change] = useChoices();
  const describe = (zone: string) => {
    const offset = zoneOffset(at, zone);
    const name = zoneName(zone);
    const both = name === offset ? name : `${name} (${offset})`;
    if (zone === config().eventZone) return text.zone.event(both);
    return zone === deviceZone() ? text.zone.device(both) : both;
  };
  return (
    <p className="zone-note">
      <label>
        <Clock aria-hidden="true" /> {text.zone.label}{' '}
        <select
          value={choices.zone}
          onChange={(event) => {
            change({ zone: event.target.value });
          }}
        >
          {zonesToChoose(choices.zone).map((zone) => (
            <option key={zone} value={zone}>
              {describe(zone)}
            </option>
          ))}
        </select>
      </label>
      <span className="on-paper">{describe(choices.zone)}</span>
    </p>
  );
}
