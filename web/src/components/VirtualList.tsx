import { useWindowVirtualizer } from '@tanstack/react-virtual';
import { useEffect, useLayoutEffect, useRef, useState, type KeyboardEvent, type ReactNode } from 'react';
import { usePrinting } from '../lib/usePrinting';
import { text } from '../text';

interface Props<T> {
  items: T[];
  keyOf: (item: T) => string | number;
  /** One row; it holds one link or button that takes the focus. */
  children: (item: T, index: number) => ReactNode;
  label: string;
  /** Height of a row in CSS pixels, before it is measured. */
  estimate: number;
  /** Whether there is more to load. */
  more?: boolean;
  loading?: boolean;
  onMore?: () => void;
  className?: string;
}

/** So few rows are in the document all at once. */
const FEW = 60;
/** At most this many rows are put on paper. */
const PRINTED = 2_000;

/** Rows ahead of the last one at which the next page is asked for. */
const AHEAD = 30;
const FOCUSABLE = 'a, button';

/**
 * A list of any length in the scrolling page: only what is seen is in the document, and on paper all that is loaded. The
 * arrow keys walk through it.
 */
export function VirtualList<T>({
  items,
  keyOf,
  children,
  label,
  estimate,
  more = false,
  loading = false,
  onMore,
  className = '',
}: Props<T>) {
  const printing = usePrinting();
  const whole = printing || items.length <= FEW;
  const list = useRef<HTMLUListElement>(null);
  const wanted = useRef<number | null>(null);
  const [margin, setMargin] = useState(0);

  const virtualizer = useWindowVirtualizer({
    count: items.length,
    enabled: !whole,
    estimateSize: () => estimate,
    overscan: 8,
    scrollMargin: margin,
    getItemKey: (index) => {
      const item = items[index];
      return item === undefined ? index : keyOf(item);
    },
  });
  const rows = virtualizer.getVirtualItems();
  const last = rows.at(-1)?.index ?? -1;

  // What stands above the list may grow or shrink.
  useLayoutEffect(() => {
    const measure = () => {
      if (list.current) setMargin(Math.round(list.current.getBoundingClientRect().top + window.scrollY));
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(document.body);
    return () => {
      observer.disconnect();
    };
  }, [whole]);

  useEffect(() => {
    if (more && !loading && !printing && (whole || last >= items.length - AHEAD)) onMore?.();
  }, [more, loading, printing, whole, last, items.length, onMore]);

  // The row to walk to may have to be rendered first.
  useEffect(() => {
    if (wanted.current === null) return;
    const row = list.current?.querySelector<HTMLElement>(`[data-index="${wanted.current}"] :is(${FOCUSABLE})`);
    if (row) {
      wanted.current = null;
      row.focus();
    }
  });

  const walk = (event: KeyboardEvent) => {
    const row = (event.target as HTMLElement).closest<HTMLElement>('[data-index]');
    if (!row || event.altKey || event.ctrlKey || event.metaKey) return;
    const index = Number(row.dataset.index);
    const target = { ArrowDown: index + 1, ArrowUp: index - 1, Home: 0, End: items.length - 1 }[event.key];
    if (target === undefined) return;
    if (target < 0 || target >= items.length) return;
    event.preventDefault();
    const there = list.current?.querySelector<HTMLElement>(`[data-index="${target}"] :is(${FOCUSABLE})`);
    if (there) {
      there.focus();
    } else {
      wanted.current = target;
      virtualizer.scrollToIndex(target);
    }
  };

  if (whole) {
    const shown = items.slice(0, PRINTED);
    return (
      <>
        <ul ref={list} className={`virtual-list whole ${className}`} aria-label={label} onKeyDown={walk}>
          {shown.map((item, index) => (
            <li key={keyOf(item)} data-index={index}>
              {children(item, index)}
            </li>
          ))}
        </ul>
        {printing && (more || shown.length < items.length) && (
          <p className="list-more">{text.states.printed(shown.length)}</p>
        )}
      </>
    );
  }
  return (
    <>
      <ul
        ref={list}
        className={`virtual-list ${className}`}
        aria-label={label}
        style={{ height: virtualizer.getTotalSize() }}
        onKeyDown={walk}
      >
        {rows.map((row) => {
          const item = items[row.index];
          return item === undefined ? null : (
            <li
              key={row.key}
              ref={virtualizer.measureElement}
              data-index={row.index}
              aria-setsize={more ? -1 : items.length}
              aria-posinset={row.index + 1}
              style={{ transform: `translateY(${row.start - margin}px)` }}
            >
              {children(item, row.index)}
            </li>
          );
        })}
      </ul>
      {more && <p className="list-more">{loading ? text.states.loadingMore : ''}</p>}
    </>
  );
}
