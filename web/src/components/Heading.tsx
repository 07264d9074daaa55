import { useEffect, useRef, type ReactNode } from 'react';
import { NavigationType, useLocation, useNavigationType } from 'react-router';
import { returnsToLink } from '../lib/focusReturn';
import { text } from '../text';

/**
 * The one heading of a view. Names the browser's tab, and takes the focus after a change of view, so that a screen reader
 * says where one is. On the way back the focus goes to where the view was left instead.
 */
export function Heading({ title, children, className }: { title: string; children?: ReactNode; className?: string }) {
  const ref = useRef<HTMLHeadingElement>(null);
  const { key } = useLocation();
  // The very first view leaves the focus where the browser put it.
  const back = useNavigationType() === NavigationType.Pop;
  const arrived = useRef(back ? key !== 'default' && !returnsToLink(key) : true);
  useEffect(() => {
    if (arrived.current) ref.current?.focus({ preventScroll: true });
  }, []);
  return (
    <>
      <title>{text.title(title)}</title>
      <h1 ref={ref} tabIndex={-1} className={className}>
        {children ?? title}
      </h1>
    </>
  );
}
