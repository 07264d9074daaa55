import { PRESETS, type Choices } from '../lib/search';
import { text } from '../text';

/** The kinds of nearness that reach farther than the chosen one. */
export function widerThan(choices: Choices) {
  return (['booth', 'nearby'] as const).filter((preset) => PRESETS[preset].distance > choices.meeting.distance);
}

/** Buttons for who found nothing: look farther, or at all days. */
export function Widen({ choices, change }: { choices: Choices; change: (c: Partial<Choices>) => void }) {
  return (
    <>
      {widerThan(choices).map((preset) => (
        <button
          key={preset}
          type="button"
          className="button"
          onClick={() => {
            change({ preset, meeting: PRESETS[preset] });
          }}
        >
          {text.filter.presets[preset]}
        </button>
      ))}
      {choices.range && (
        <button
          type="button"
          className="button"
          onClick={() => {
            change({ range: null });
          }}
        >
          {text.person.allDays}
        </button>
      )}
    </>
  );
}
