import createClient from 'openapi-fetch';
import * as v from 'valibot';
import { config } from '../config';
import type { paths } from './openapi';
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

/** The API as its document describes it, asked for JSON; `openapi.ts` is made from docs/openapi.json by `make openapi`. */
export const api = createClient<paths, 'application/json'>();

/** How a call is sent: given to each of `api`'s. */
export interface Transport {
  baseUrl: string;
  fetch: (request: Request) => Promise<Response>;
}

/** What `api`'s calls return. */
interface Called<D> {
  data?: D;
  error?: unknown;
  response: Response;
}

/** The position of the next page, from a `Link` header; undefined on the last page. */
export function nextCursor(header: string | null): string | undefined {
  for (const link of (header ?? '').split(/,\s*(?=<)/)) {
    const found = /^\s*<([^>]*)>\s*;(.*)$/.exec(link);
    if (found?.[1] === undefined || !/(?:^|;)\s*rel\s*=\s*"?next"?/i.test(found[2] ?? '')) continue;
    return new URL(found[1], config().apiUrl).searchParams.get('cursor') ?? undefined;
  }
  return undefined;
}

function refusal(response: Response, body: unknown): ApiError {
  const problem = v.safeParse(ProblemSchema, body);
  const { detail, title, errors } = problem.success ? problem.output : { detail: '', title: '', errors: [] };
  const wait = Number(response.headers.get('retry-after') ?? NaN);
  return new ApiError('status', detail || title || response.statusText || `status ${response.status}`, {
    status: response.status,
    fields: errors,
    ...(Number.isFinite(wait) ? { retryAfter: wait } : {}),
  });
}

/** Makes a call; the answer, checked when it arrives, and the response that it came in. */
async function answered<I, D extends I, T>(
  call: (transport: Transport) => Promise<Called<D>>,
  schema: v.GenericSchema<I, T>,
  signal: AbortSignal | undefined,
): Promise<{ body: T; response: Response }> {
  let response: Response | undefined;
  const send = async (request: Request) => {
    const timeout = AbortSignal.timeout(TIMEOUT_MS);
    try {
      response = await fetch(request, { signal: signal ? AbortSignal.any([signal, timeout]) : timeout });
      return response;
    } catch (cause) {
      if (signal?.aborted) throw cause;
      throw new ApiError('unreachable', 'no answer', { cause });
    }
  };
  try {
    const called = await call({ baseUrl: config().apiUrl, fetch: send });
    if (!called.response.ok) throw refusal(called.response, called.error);
    return { body: v.parse(schema, called.data), response: called.response };
  } catch (cause) {
    // Without a response the error tells by itself why there is none.
    if (cause instanceof ApiError || response === undefined) throw cause;
    if (!response.ok) throw refusal(response, undefined);
    throw new ApiError('unexpected', `unexpected answer of ${response.url}`, { status: response.status, cause });
  }
}

/** The answer to a call of `api`; one that is not of this shape is an error. */
export async function ask<I, D extends I, T>(
  call: (transport: Transport) => Promise<Called<D>>,
  schema: v.GenericSchema<I, T>,
  signal?: AbortSignal,
): Promise<T> {
  return (await answered(call, schema, signal)).body;
}

export interface Page<T> {
  items: T[];
  /** Where the next page begins; undefined on the last. */
  next: string | undefined;
}

/** One page of a list. */
export async function askPage<I, D extends I, T>(
  call: (transport: Transport) => Promise<Called<D[]>>,
  schema: v.GenericSchema<I, T>,
  signal?: AbortSignal,
): Promise<Page<T>> {
  const { body, response } = await answered<I[], D[], T[]>(call, v.array(schema), signal);
  return { items: body, next: nextCursor(response.headers.get('link')) };
}
