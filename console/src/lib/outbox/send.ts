/**
 * Sends what waits, in order. Runs in the page and in the service worker, one at a time (Web Locks).
 *
 * What was sent is taken out in the same step that tells those waiting for it what the answer said. Until then it is
 * sent again, with the same key: the centre does it once. Nothing is sent for anybody but who made it: the session is
 * asked before, and the centre checks the sender that each request names.
 */
import { db, itemsOf } from './db';
import { ready, settled, type Evidence, type Item, type Results, type Trouble } from './model';

export type Outcome = 'empty' | 'sent' | 'offline' | 'sign_in' | 'other_person' | 'later';
export interface Sender {
  /** Headers that prove a change comes from the centre's own page. */
  proof: () => Promise<Record<string, string>> | Record<string, string>;
  /** Called after each change of the queue. */
  changed: (item: Item, sent: boolean) => void;
}

const PATIENCE_MS = 60_000;
const FAULTS = 5; // so often a fault of the centre is met with another try

class Away extends Error {}

async function ask(path: string, init: RequestInit = {}): Promise<Response> {
  try {
    return await fetch(path, { ...init, signal: AbortSignal.timeout(PATIENCE_MS) });
  } catch {
    throw new Away();
  }
}

/** Who is signed in, as `person:truc-ban`; '' nobody. */
async function signedIn(): Promise<string> {
  const answer = await ask('/api/v1/session');
  if (answer.status === 401) return '';
  if (!answer.ok) throw new Away();
  const me = (await answer.json()) as { kind: string; name: string };
  return `${me.kind}:${me.name}`;
}

/** Send what waits of `who`; of whoever is signed in where that is null. */
export async function flush(who: string | null, sender: Sender): Promise<Outcome> {
  if (!('locks' in navigator)) return run(who, sender);
  return navigator.locks.request('thap-outbox', () => run(who, sender));
}

async function run(who: string | null, sender: Sender): Promise<Outcome> {
  if (who !== null && !ready(await itemsOf(who)).length) return 'empty';
  try {
    const me = await signedIn();
    if (!me) return 'sign_in';
    if (who !== null && who !== me) return 'other_person';
    const tried = new Set<number>();
    for (;;) {
      const next = ready(await itemsOf(me)).find((item) => !tried.has(item.id));
      if (!next) return tried.size ? 'sent' : 'empty';
      tried.add(next.id);
      const outcome = await one(next, sender);
      if (outcome) return outcome;
    }
  } catch (error) {
    if (error instanceof Away) return 'offline';
    throw error;
  }
}

function post(item: Item, proof: Record<string, string>): Promise<Response> {
  return ask(item.path, {
    method: 'POST',
    headers: {
      ...proof,
      'Idempotency-Key': item.key,
      'Thap-Sender': encodeURIComponent(item.who),
      'Content-Type': item.file ? item.file.type : 'application/json',
    },
    body: item.file ? item.file.bytes : JSON.stringify(item.body ?? {}),
  });
}

/** Null: go on with the next. */
async function one(item: Item, sender: Sender): Promise<Outcome | null> {
  const answer = await post(item, await sender.proof());
  if (answer.ok) {
    await done(item, resultsOf(item, await answer.json().catch(() => null)));
    sender.changed(item, true);
    return null;
  }
  if (answer.status === 401) return 'sign_in';
  if (answer.status === 429 || answer.status === 502 || answer.status === 503 || answer.status === 504) return 'later';
  const said = ((await answer.json().catch(() => null)) as { error?: { code?: string; message?: string; hint?: string } } | null)?.error;
  const trouble: Trouble = { code: said?.code ?? 'other', message: [said?.message, said?.hint].filter(Boolean).join(' · '), status: answer.status };
  if (trouble.code === 'other_sender') return 'other_person';
  if (trouble.status >= 500 && item.tries < FAULTS) {
    await store({ ...item, tries: item.tries + 1 });
    return 'later';
  }
  const again = trouble.status === 409 && item.task !== null ? await judged(item, trouble) : { ...item, state: 'refused' as const, trouble };
  await store(again);
  sender.changed(again, false);
  return again.state === 'waiting' ? one(again, sender) : null;
}

/**
 * A task that changed since the person saw it. Where it is still to be done, by the same and about the same (its
 * deadline passed, somebody was reminded), what they did stands: it is sent for the version it has now.
 */
async function judged(item: Item, trouble: Trouble): Promise<Item> {
  const answer = await ask(`/api/v1/tasks/${item.task}`);
  if (!answer.ok) return { ...item, state: 'conflict', trouble };
  const task = (await answer.json()) as Record<string, unknown> & { state: string; closed: number | null; closed_by: string; comment: string; version: number };
  const seen = item.seen;
  const same =
    seen !== null && ['open', 'paused', 'planned'].includes(task.state) && task.version !== item.body?.['version'] &&
    JSON.stringify(task['title']) === seen.title && JSON.stringify(task['text']) === seen.text && task['assignee'] === seen.assignee && task['unit'] === seen.unit;
  if (same) return { ...item, key: crypto.randomUUID(), body: { ...item.body, version: task.version } };
  const { state, closed, closed_by, comment, version } = task;
  return { ...item, state: 'conflict', trouble: { ...trouble, task: { state, closed, closed_by, comment, version } } };
}

function resultsOf(item: Item, answer: unknown): Results {
  const said = answer as { incident?: { id?: number }; link?: number } | null;
  return item.kind === 'open' ? { incident: said?.incident?.id } : item.kind === 'photo' ? { link: said?.link } : {};
}

const store = async (item: Item) => void (await (await db()).put('items', item));

/** Take out what was sent, and tell those that waited for it, in one step. */
async function done(item: Item, results: Results): Promise<void> {
  const tx = (await db()).transaction(['items', 'reads'], 'readwrite');
  const items = tx.objectStore('items');
  await items.delete(item.id);
  for (const other of await items.index('who').getAll(item.who)) {
    const next = settled(other, item.id, results);
    if (next !== other) await items.put(next);
  }
  if (item.kind === 'photo' && item.task !== null && results.link !== undefined) {
    const reads = tx.objectStore('reads');
    const [who, name, at] = [item.who, `evidence:${item.task}`, item.made];
    const known = ((await reads.get([who, name]))?.data ?? []) as Evidence[];
    await reads.put({ who, name, at, data: [...known, { attach: item.attach, link: results.link, at }] });
  }
  await tx.done;
}
