/**
 * The service worker: the console opens without a line, and what waits in the outbox is sent when there is one again.
 *
 * It keeps the console's own files, the same for everybody. It keeps no answer of the API and asks the centre for
 * nothing but these; what a person read is kept by `lib/outbox/db.ts` under their name.
 */
import { flush } from '../lib/outbox/send';

interface Files {
  version: string;
  /** Addresses of what is kept from the start. */
  shell: string[];
}
interface SyncEvent extends ExtendableEvent {
  tag: string;
}
declare const __FILES__: Files;

const scope = self as unknown as ServiceWorkerGlobalScope;
const SHELL = `thap-shell-${__FILES__.version}`;
const LATER = 'thap-assets'; // large files, kept when first used
const LATER_MOST = 60;
const TAG = 'thap-outbox';
const NO_SCREENS = ['api', 'session', 'assets', 'reports', 'phan-anh', 'open311', 'feeds', 'a', 'metrics', 'healthz', 'readyz'];

async function install(): Promise<void> {
  const cache = await caches.open(SHELL);
  const missing: string[] = [];
  for (const path of __FILES__.shell) {
    // What has its content in its name may lie in the cache of the version before.
    const known = path.startsWith('/assets/') ? await caches.match(path) : undefined;
    if (known) await cache.put(path, known);
    else missing.push(path);
  }
  await cache.addAll(missing.map((path) => new Request(path, { cache: path.startsWith('/assets/') ? 'default' : 'reload' })));
}

async function activate(): Promise<void> {
  for (const name of await caches.keys()) if (name.startsWith('thap-shell-') && name !== SHELL) await caches.delete(name);
  const later = await caches.open(LATER);
  const kept = await later.keys();
  for (const request of kept.slice(0, Math.max(0, kept.length - LATER_MOST))) await later.delete(request);
  await scope.clients.claim();
}

async function asset(request: Request): Promise<Response> {
  const known = await caches.match(request);
  if (known) return known;
  const answer = await fetch(request);
  if (answer.ok) await (await caches.open(LATER)).put(request, answer.clone());
  return answer;
}

async function kept(path: string, request: Request): Promise<Response> {
  return (await (await caches.open(SHELL)).match(path)) ?? fetch(request);
}

scope.addEventListener('install', (event) => event.waitUntil(install()));
scope.addEventListener('activate', (event) => event.waitUntil(activate()));
scope.addEventListener('message', (event) => {
  if (event.data === 'go') void scope.skipWaiting();
});

scope.addEventListener('fetch', (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== 'GET' || url.origin !== scope.location.origin) return;
  if (url.pathname.startsWith('/assets/')) event.respondWith(asset(request));
  else if (request.mode === 'navigate') {
    const first = url.pathname.split('/')[1] ?? '';
    const screen = !NO_SCREENS.includes(first) && !first.includes('.') && !url.searchParams.has('key');
    if (screen) event.respondWith(kept('/index.html', request));
  } else if (__FILES__.shell.includes(url.pathname)) event.respondWith(kept(url.pathname, request));
});

/** The page reads the proof from its cookies; here the cookie store does. */
async function proof(): Promise<Record<string, string>> {
  const store = (scope as unknown as { cookieStore?: { getAll: () => Promise<{ name: string; value: string }[]> } }).cookieStore;
  const port = scope.location.port || (scope.location.protocol === 'https:' ? '443' : '80');
  const names = [`thap-csrf-${port}`, 'thap-csrf-0', `__Host-thap-csrf-${port}`, '__Host-thap-csrf-0'];
  const found = (await store?.getAll())?.find(({ name }) => names.includes(name));
  return found ? { 'X-CSRF-Token': found.value } : {};
}

async function send(): Promise<void> {
  const told = new BroadcastChannel(TAG);
  const outcome = await flush(null, { proof, changed: () => told.postMessage('changed') });
  told.close();
  if (outcome === 'offline' || outcome === 'later') throw new Error('not yet'); // the browser tries again
}

scope.addEventListener('sync', (event: Event) => {
  if ((event as SyncEvent).tag === TAG) (event as SyncEvent).waitUntil(send());
});
