import { useEffect } from 'react';
import { NavigationType, useLocation, useNavigationType } from 'react-router';
import { whenThere } from './whenThere';

/** By key of a history entry: the address of the link by which it was left. */
const left = new Map<string, string>();

/** Whether the focus will go to where the view was left, and not to its heading. */
export function returnsToLink(key: string): boolean {
  return left.has(key);
}

const link = (href: string) => document.querySelector<HTMLElement>(`main a[href="${CSS.escape(href)}"]`);

/** On the way back, the focus returns to the link by which the view was left. */
export function useFocusReturn(): void {
  const { key } = useLocation();
  const back = useNavigationType() === NavigationType.Pop;

  useEffect(() => {
    const note = (event: Event) => {
      const by = event.target instanceof Element ? event.target.closest('main a[href], main [data-href]') : null;
      const href = by?.getAttribute('href') ?? by?.getAttribute('data-href');
      if (href != null) left.set(key, href);
    };
    document.addEventListener('click', note, true);
    return () => {
      document.removeEventListener('click', note, true);
    };
  }, [key]);

  useEffect(() => {
    const href = left.get(key);
    if (!back || href === undefined) return;
    return whenThere(
      () => link(href),
      (element) => {
        element.focus();
      },
      () => document.querySelector('h1')?.focus(),
    );
  }, [key, back]);
}
