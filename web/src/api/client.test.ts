import * as v from 'valibot';
import { describe, expect, it, vi } from 'vitest';
import { setConfig } from '../config';
import { answer } from '../test/api';
import { api, ApiError, ask, nextCursor } from './client';
import { PersonSchema } from './schema';

const person = (signal?: AbortSignal) =>
  ask((how) => api.GET('/api/persons/{id}', { ...how, params: { path: { id: 1 } } }), PersonSchema, signal);

const failure = async () => {
  const error: unknown = await person().catch((caught: unknown) => caught);
  if (!(error instanceof ApiError)) throw new Error('no ApiError');
  return error;
};

describe('the API', () => {
  it('is on the host of the page when the server names no address', () => {
    const page = { protocol: 'https:', hostname: 'event.test', origin: 'https://event.test' };
    expect(setConfig({ api_url: null }, page).apiUrl).toBe('https://event.test:30001');
    expect(setConfig({ api_port: 8080 }, page).apiUrl).toBe('https://event.test:8080');
    expect(setConfig({ api_url: '/' }, page).apiUrl).toBe('https://event.test');
    expect(setConfig({ api_url: 'https://api.test/' }, page).apiUrl).toBe('https://api.test');
  });

  it('gets parameters, without those that are undefined', async () => {
    const asked = answer(() => ({ body: [] }));
    const query = { q: 'a&b', limit: 100, cursor: undefined };
    await ask((how) => api.GET('/api/persons', { ...how, params: { query } }), v.array(PersonSchema));
    expect(asked[0]?.query.toString()).toBe('q=a%26b&limit=100');
  });

  it('is not asked any longer when nobody wants the answer', async () => {
    const stop = new AbortController();
    vi.stubGlobal(
      'fetch',
      (_: Request, { signal }: { signal: AbortSignal }) =>
        new Promise((_, reject) => {
          signal.addEventListener('abort', () => {
            reject(signal.reason as Error);
          });
          stop.abort();
        }),
    );
    await expect(person(stop.signal)).rejects.toMatchObject({ name: 'AbortError' });
  });

  it('says where the next page is', () => {
    expect(nextCursor('</api/persons?q=a&cursor=x>; rel="next"')).toBe('x');
    expect(nextCursor('<http://inside/api/persons?cursor=x>; rel=next')).toBe('x');
    expect(nextCursor('</a?b=1,2&cursor=y>; rel="prev", </c?cursor=z>; title="t"; rel="next"')).toBe('z');
    expect(nextCursor('</a?cursor=y>; rel="prev"')).toBeUndefined();
    expect(nextCursor(null)).toBeUndefined();
  });

  it('is understood when it refuses', async () => {
    const errors = [{ field: 'distance', message: 'must be more than 0; got -1' }];
    answer(() => ({ status: 400, body: { title: 'Bad Request', detail: 'distance is wrong', errors } }));
    const error = await failure();
    expect(error).toMatchObject({ status: 400, message: 'distance is wrong', fields: errors, passing: false });
  });

  it('may come back after it failed', async () => {
    answer(() => undefined);
    expect(await failure()).toMatchObject({ kind: 'unreachable', passing: true });
    answer(() => ({ status: 503, body: 'not even JSON' }));
    expect(await failure()).toMatchObject({ kind: 'status', status: 503, passing: true });
  });

  it('is not believed when its answer has another shape', async () => {
    answer(() => ({ body: { id: 'one' } }));
    expect(await failure()).toMatchObject({ kind: 'unexpected', passing: false });
  });
});
