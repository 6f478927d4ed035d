/**
 * The way to the centre's API, typed by its OpenAPI document (`schema.d.ts`, made by `make console-types`).
 *
 *     const page = await api.get('/api/v1/incidents', { query: { limit: 50 } });
 *     type Incident = (typeof page)['items'][number];   // or Answer<'/api/v1/incidents'>['items'][number]
 *
 * A session that ends while a person works loses nothing: the request waits until they have signed in again
 * (`session.svelte.ts` shows the form), and is then sent once more.
 */

import type { paths } from './schema';

type Method = 'get' | 'post' | 'put' | 'patch' | 'delete';
type Having<M extends Method> = { [P in keyof paths]: paths[P] extends Record<M, { responses: unknown }> ? P : never }[keyof paths];
type JsonOf<R> = R extends { content: { 'application/json': infer T } } ? T : never;
type Found<R> = R extends { 200: infer A } ? JsonOf<A> : R extends { 201: infer A } ? JsonOf<A> : never;

/** What a path of the API answers, as its OpenAPI document has it. */
export type Answer<P extends keyof paths, M extends Method = 'get'> = paths[P] extends Record<M, { responses: infer R }> ? Found<R> : never;

export interface CallOptions {
  /** Values of `{name}` in the path; encoded. */
  path?: Record<string, string | number>;
  /** Of the query string; null, undefined and '' are left out, arrays are joined by commas. */
  query?: Record<string, string | number | boolean | readonly (string | number)[] | null | undefined>;
  /** JSON body, or FormData, or a Blob. */
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
  /** False: a 401 is an error like others (the sign-in form itself). */
  signIn?: boolean;
}

/** What the centre refused, and why; or, with code `offline`, that nothing answered. */
export class ApiError extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly status: number,
    readonly where = '',
    readonly hint = '',
    /** Seconds until another try counts; 0 where nothing was said. */
    readonly wait = 0,
    /** The whole answer. */
    readonly answer: unknown = null,
  ) {
    super(message);
  }

  get offline(): boolean {
    return this.code === 'offline';
  }
}

let sessions = 0;

/** Called when there is a new session: what was sent under the one before and is refused is sent once more. */
export function onSessionNew(): void {
  sessions += 1;
}

let whenOver: (() => Promise<void>) | null = null;

/** Called when a session turns out to be over; the promise it gives is kept once there is a new one. */
export function onSessionOver(handler: () => Promise<void>): void {
  whenOver = handler;
}

/** What every change carries, so that the centre knows that it comes from its own page. */
export function proof(): Record<string, string> {
  const port = location.port || (location.protocol === 'https:' ? '443' : '80');
  const names = [`thap-csrf-${port}`, 'thap-csrf-0', `__Host-thap-csrf-${port}`, '__Host-thap-csrf-0'];
  const found = document.cookie
    .split('; ')
    .map((pair) => pair.split('='))
    .find(([name]) => name !== undefined && names.includes(name));
  return found?.[1] ? { 'X-CSRF-Token': found[1] } : {};
}

/** An address with its values put in. */
export function address(path: string, options: Pick<CallOptions, 'path' | 'query'> = {}): string {
  const filled = path.replace(/\{(\w+)(?::path)?\}/g, (_whole, name: string) => {
    const value = options.path?.[name];
    if (value === undefined) throw new Error(`no value for {${name}} of ${path}`);
    return encodeURIComponent(String(value));
  });
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(options.query ?? {})) {
    if (value === null || value === undefined || value === '') continue;
    if (Array.isArray(value)) {
      if (value.length) query.set(name, value.join(','));
    } else query.set(name, String(value));
  }
  const text = query.toString();
  return text ? `${filled}?${text}` : filled;
}

async function refusal(answer: Response): Promise<ApiError> {
  const said = (await answer.json().catch(() => null)) as { error?: { code?: string; message?: string; where?: string; hint?: string } } | null;
  const error = said?.error ?? {};
  return new ApiError(
    error.code ?? 'other',
    error.message ?? answer.statusText,
    answer.status,
    error.where ?? '',
    error.hint ?? '',
    Number(answer.headers.get('Retry-After') ?? 0),
    said,
  );
}

/** Send a request; gives the answer as it is where that is a success. Throws ApiError. */
export async function send(method: string, path: string, options: CallOptions = {}): Promise<Response> {
  const raw = options.body instanceof FormData || options.body instanceof Blob;
  for (;;) {
    const headers: Record<string, string> = { ...(method === 'GET' ? {} : proof()), ...options.headers };
    if (options.body !== undefined && !raw) headers['Content-Type'] = 'application/json';
    const under = sessions;
    let answer: Response;
    try {
      answer = await fetch(address(path, options), {
        method,
        headers,
        body: options.body === undefined ? undefined : raw ? (options.body as BodyInit) : JSON.stringify(options.body),
        signal: options.signal,
      });
    } catch (error) {
      if (error instanceof DOMException && error.name === 'AbortError') throw error;
      throw new ApiError('offline', 'the centre cannot be reached', 0);
    }
    if (answer.ok) return answer;
    if (answer.status === 401 && options.signIn !== false && whenOver) {
      if (under === sessions) await whenOver();
      continue;
    }
    throw await refusal(answer);
  }
}

async function json(method: string, path: string, options?: CallOptions): Promise<unknown> {
  const answer = await send(method, path, options);
  return answer.status === 204 ? null : answer.json();
}

/** Calls by method; each answer has the type that the OpenAPI document gives it. All throw ApiError. */
export const api = {
  get: <P extends Having<'get'>>(path: P, options?: CallOptions) => json('GET', path, options) as Promise<Answer<P>>,
  post: <P extends Having<'post'>>(path: P, body?: unknown, options?: CallOptions) =>
    json('POST', path, { body: body ?? {}, ...options }) as Promise<Answer<P, 'post'>>,
  put: <P extends Having<'put'>>(path: P, body?: unknown, options?: CallOptions) =>
    json('PUT', path, { body: body ?? {}, ...options }) as Promise<Answer<P, 'put'>>,
  patch: <P extends Having<'patch'>>(path: P, body?: unknown, options?: CallOptions) =>
    json('PATCH', path, { body: body ?? {}, ...options }) as Promise<Answer<P, 'patch'>>,
  delete: <P extends Having<'delete'>>(path: P, options?: CallOptions) =>
    json('DELETE', path, options) as Promise<Answer<P, 'delete'>>,
};
