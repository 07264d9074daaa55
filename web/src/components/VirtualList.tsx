import { useWindowVirtualizer } from '@tanstack/react-virtual';
import { useEffect, useLayoutEffect, useRef, useState, type KeyboardEvent, type ReactNode } from 'react';
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
  more: boolean;
  loading: boolean;
  onMore: () => void;
}

/** Rows ahead of the last one at which the next page is asked for. */
const AHEAD = 30;
const FOCUSABLE = 'a, button';

/** A list of any length in the scrolling page: only what is seen is in the document. The arrow keys walk through it. */
export function VirtualList<T>({ items, keyOf, children, label, estimate, more, loading, onMore }: Props<T>) {
  const list = useRef<HTMLUListElement>(null);
  const wanted = useRef<number | null>(null);
  const [margin, setMargin] = useState(0);

  const virtualizer = useWindowVirtualizer({
    count: items.length,
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
  }, []);

  useEffect(() => {
    if (more && !loading && last >= items.length - AHEAD) onMore();
  }, [more, loading, last, items.length, onMore]);

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

  return (
    <>
      <ul
        ref={list}
        className="virtual-list"
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
