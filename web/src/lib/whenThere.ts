/** Longest wait for an element, in milliseconds; then it is not coming. */
const PATIENCE_MS = 5_000;
const BUSY = ['keydown', 'pointerdown', 'wheel', 'touchstart'] as const;

/**
 * Looks for an element until it is there, which may take until a list has been drawn; then does something with it. Gives
 * up, and says so, when the visitor does something else meanwhile. Returns how to stop.
 */
export function whenThere(
  find: () => HTMLElement | null | undefined,
  then: (element: HTMLElement) => void,
  giveUp?: () => void,
): () => void {
  const until = performance.now() + PATIENCE_MS;
  let frame = 0;
  const stop = () => {
    cancelAnimationFrame(frame);
    for (const event of BUSY) window.removeEventListener(event, stop);
  };
  const look = () => {
    const element = find();
    if (element) {
      stop();
      then(element);
    } else if (performance.now() > until) {
      stop();
      giveUp?.();
    } else frame = requestAnimationFrame(look);
  };
  for (const event of BUSY) window.addEventListener(event, stop, { passive: true });
  frame = requestAnimationFrame(look);
  return stop;
}
