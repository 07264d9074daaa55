import { describe, expect, it } from 'vitest';
import { setConfig } from '../config';
import { answer } from '../test/api';
import { address, ApiError, get, nextPage } from './client';
import { PersonSchema } from './schema';

const failure = async () => {
  const error: unknown = await get(address('/api/persons/1'), PersonSchema).catch((caught: unknown) => caught);
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

  it('gets parameters, without those that are undefined', () => {
    expect(address('/api/persons', { q: 'a&b', limit: 100, cursor: undefined })).toBe(
      'http://api.test/api/persons?q=a%26b&limit=100',
    );
  });

  it('says where the next page is', () => {
    expect(nextPage('</api/persons?cursor=x>; rel="next"')).toBe('http://api.test/api/persons?cursor=x');
    expect(nextPage('<http://inside/api/persons?cursor=x>; rel=next')).toBe('http://api.test/api/persons?cursor=x');
    expect(nextPage('</a?b=1,2>; rel="prev", </c?d>; title="t"; rel="next"')).toBe('http://api.test/c?d');
    expect(nextPage('</a>; rel="prev"')).toBeUndefined();
    expect(nextPage(null)).toBeUndefined();
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
