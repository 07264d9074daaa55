import { vi } from 'vitest';
import { makeQueryClient } from '../api/queries';

export interface Asked {
  method: string;
  path: string;
  query: URLSearchParams;
  body: unknown;
}

export interface Said {
  status?: number;
  body: unknown;
  link?: string;
}

/** Answers the page's questions; `undefined` means that nobody answers. Returns what was asked. */
export function answer(how: (asked: Asked) => Said | undefined): Asked[] {
  const all: Asked[] = [];
  vi.stubGlobal('fetch', async (request: Request) => {
    const url = new URL(request.url);
    const body = await request.text();
    const asked = {
      method: request.method,
      path: url.pathname,
      query: url.searchParams,
      body: body === '' ? undefined : (JSON.parse(body) as unknown),
    };
    all.push(asked);
    const said = how(asked);
    if (!said) throw new TypeError('Failed to fetch');
    return new Response(JSON.stringify(said.body), {
      status: said.status ?? 200,
      headers: { 'content-type': 'application/json', ...(said.link === undefined ? {} : { link: said.link }) },
    });
  });
  return all;
}

/** As the page has it, but a failure shows at once. */
export function hastyClient() {
  const client = makeQueryClient();
  const { queries } = client.getDefaultOptions();
  client.setDefaultOptions({ queries: { ...queries, retry: false, refetchInterval: false } });
  return client;
}

export const ada = { id: 1, first_name: 'Ada', last_name: 'Lovelace', company_name: 'Analytical Engines' };
export const grace = { id: 2, first_name: 'Grace', last_name: 'Hopper', company_name: 'Harbor Robotics' };
