import * as v from 'valibot';
import { config } from '../config';
import { ProblemSchema } from './schema';

/** A question that takes longer than this has failed. */
const TIMEOUT_MS = 30_000;

export interface FieldError {
  field: string;
  message: string;
}

/** Why the API gave no answer. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly kind: 'unreachable' | 'status' | 'unexpected';
  /** HTTP status; 0 without an answer. */
  readonly status: number;
  /** Which fields were wrong, in the words of the server. */
  readonly fields: FieldError[];
  /** How long the server asks to wait, in seconds. */
  readonly retryAfter: number | undefined;

  constructor(
    kind: ApiError['kind'],
    message: string,
    more: { status?: number; fields?: FieldError[]; retryAfter?: number; cause?: unknown } = {},
  ) {
    super(message, { cause: more.cause });
    this.kind = kind;
    this.status = more.status ?? 0;
    this.fields = more.fields ?? [];
    this.retryAfter = more.retryAfter;
  }

  /** Whether the same question may be answered later. */
  get passing(): boolean {
    return this.kind === 'unreachable' || this.status === 429 || this.status >= 500;
  }
}

type Query = Record<string, string | number | undefined>;

/** The address of an API path with its parameters; undefined ones are left out. */
export function address(path: string, query: Query = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) search.set(name, String(value));
  return config().apiUrl + path + (search.size > 0 ? `?${search}` : '');
}

/** The address of the next page from a `Link` header, on the API's own origin; undefined on the last page. */
export function nextPage(header: string | null): string | undefined {
  for (const link of (header ?? '').split(/,\s*(?=<)/)) {
    const found = /^\s*<([^>]*)>\s*;(.*)$/.exec(link);
    if (found?.[1] === undefined || !/(?:^|;)\s*rel\s*=\s*"?next"?/i.test(found[2] ?? '')) continue;
    const url = new URL(found[1], config().apiUrl);
    // A proxy may know the API by another name; the path is what counts.
    return config().apiUrl + url.pathname + url.search;
  }
  return undefined;
}

async function send(url: string, init: RequestInit): Promise<Response> {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  let response: Response;
  try {
    response = await fetch(url, { ...init, signal: init.signal ? AbortSignal.any([init.signal, timeout]) : timeout });
  } catch (cause) {
    if (init.signal?.aborted) throw cause;
    throw new ApiError('unreachable', 'no answer', { cause });
  }
  if (response.ok) return response;
  const body: unknown = await response.json().catch(() => ({}));
  const problem = v.safeParse(ProblemSchema, body);
  const { detail, title, errors } = problem.success ? problem.output : { detail: '', title: '', errors: [] };
  const wait = Number(response.headers.get('retry-after') ?? NaN);
  throw new ApiError('status', detail || title || response.statusText || `status ${response.status}`, {
    status: response.status,
    fields: errors,
    ...(Number.isFinite(wait) ? { retryAfter: wait } : {}),
  });
}

async function read<T>(response: Response, schema: v.GenericSchema<unknown, T>): Promise<T> {
  try {
    return v.parse(schema, await response.json());
  } catch (cause) {
    throw new ApiError('unexpected', `unexpected answer of ${response.url}`, { status: response.status, cause });
  }
}

/** Reads one thing. */
export async function get<T>(url: string, schema: v.GenericSchema<unknown, T>, signal?: AbortSignal): Promise<T> {
  return read(await send(url, signal ? { signal } : {}), schema);
}

export interface Page<T> {
  items: T[];
  /** Address of the next page; undefined on the last. */
  next: string | undefined;
}

/** Reads one page of a list. */
export async function getPage<T>(
  url: string,
  schema: v.GenericSchema<unknown, T>,
  signal?: AbortSignal,
): Promise<Page<T>> {
  const response = await send(url, signal ? { signal } : {});
  return { items: await read(response, v.array(schema)), next: nextPage(response.headers.get('link')) };
}

/** Sends JSON; the answer and its status. */
export async function post<T>(
  url: string,
  body: unknown,
  schema: v.GenericSchema<unknown, T>,
): Promise<{ status: number; body: T }> {
  const response = await send(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: await read(response, schema) };
}
