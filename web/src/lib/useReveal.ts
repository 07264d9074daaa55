import { useRef, useState } from 'react';
import { whenThere } from './whenThere';

/** Less of the map than this share of it counts as out of sight. */
const ENOUGH = 0.7;

// As in the style sheet: there the map stays in view beside the list.
const WIDE = '(min-width: 60rem)';

const calm = () => window.matchMedia('(prefers-reduced-motion: reduce)').matches;

/**
 * Brings the map into view when something is chosen in a list that is below it, with the focus, and leads back.
 * Where the map is in view anyway, as on wide screens, nothing moves.
 */
export function useReveal<E extends HTMLElement>() {
  /** What holds the map; must be able to take the focus. */
  const place = useRef<E>(null);
  const [origin, setOrigin] = useState<{ index: number; y: number } | null>(null);

  const reveal = (index: number) => {
    const frame = place.current?.querySelector('.map-frame')?.getBoundingClientRect();
    if (!place.current || !frame || window.matchMedia(WIDE).matches) return;
    const top = document.querySelector('.top')?.getBoundingClientRect().bottom ?? 0;
    const seen = Math.min(frame.bottom, window.innerHeight) - Math.max(frame.top, top, 0);
    if (seen >= frame.height * ENOUGH) return;
    setOrigin({ index, y: window.scrollY });
    place.current.scrollIntoView({ behavior: calm() ? 'auto' : 'smooth', block: 'start' });
    place.current.focus({ preventScroll: true });
  };

  const back = () => {
    if (!origin) return;
    window.scrollTo({ top: origin.y, behavior: 'instant' });
    setOrigin(null);
    whenThere(
      () => document.querySelector<HTMLElement>(`.virtual-list > [data-index="${origin.index}"] button`),
      (row) => {
        row.focus({ preventScroll: true });
        row.scrollIntoView({ block: 'nearest' });
      },
    );
  };

  return { place, reveal, back: origin ? back : null };
}
