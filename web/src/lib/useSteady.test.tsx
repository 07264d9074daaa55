import { keepPreviousData, QueryClientProvider, useQuery } from '@tanstack/react-query';
import { act, render, screen, waitFor } from '@testing-library/react';
import { describe, expect, it } from 'vitest';
import { ApiError } from '../api/client';
import { hastyClient } from '../test/api';
import { useSteady } from './useSteady';

const away = new ApiError('unreachable', 'no answer');

/** Answers come when the test lets them. */
function desk() {
  const open: { resolve: (value: string) => void; reject: (error: Error) => void }[] = [];
  return {
    ask: () => new Promise<string>((resolve, reject) => open.push({ resolve, reject })),
    settle: async (how: string | Error) => {
      await waitFor(() => {
        expect(open.length).toBeGreaterThan(0);
      });
      const next = open.shift();
      await act(async () => {
        if (how instanceof Error) next?.reject(how);
        else next?.resolve(how);
        await Promise.resolve();
      });
    },
  };
}

function Shown({ q, ask, seen }: { q: string; ask: () => Promise<string>; seen: string[] }) {
  const queryKey = ['test', q];
  const steady = useSteady<string>(
    useQuery<string>({ queryKey, queryFn: ask, placeholderData: keepPreviousData }),
    queryKey,
  );
  const state = `data ${steady.data ?? '-'} earlier ${steady.earlier ?? '-'} ${steady.error ? 'failed' : 'fine'}`;
  if (seen.at(-1) !== state) seen.push(state);
  return (
    <>
      <p>{state}</p>
      <button onClick={() => void steady.refetch()}>again</button>
    </>
  );
}

describe('what is shown of a question', () => {
  it('tells the answer before from this one, and does not come and go while it fails again and again', async () => {
    const { ask, settle } = desk();
    const client = hastyClient();
    const seen: string[] = [];
    const view = (q: string) => (
      <QueryClientProvider client={client}>
        <Shown q={q} ask={ask} seen={seen} />
      </QueryClientProvider>
    );
    const again = async (how: string | Error) => {
      act(() => {
        screen.getByRole('button').click();
      });
      await settle(how);
      // Until it is known in the library, too.
      await waitFor(() => {
        expect(client.isFetching()).toBe(0);
      });
    };
    const { rerender } = render(view('a'));
    await settle('A');
    await screen.findByText('data A earlier - fine');
    rerender(view('b'));
    await settle(away);
    await screen.findByText('data - earlier - failed');
    for (let time = 0; time < 3; time += 1) await again(away);
    await again('B');
    await screen.findByText('data B earlier - fine');
    // Asked for anew in vain.
    await again(away);
    await screen.findByText('data B earlier - failed');
    expect(seen).toEqual([
      'data - earlier - fine',
      'data A earlier - fine',
      'data - earlier A fine',
      'data - earlier - failed',
      'data B earlier - fine',
      'data B earlier - failed',
    ]);
  });
});
