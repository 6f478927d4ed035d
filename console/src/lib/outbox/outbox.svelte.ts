/**
 * The outbox of who is signed in: what they did, on its way to the centre. Everything done in the field goes through it,
 * with a line or without one.
 *
 *     await outbox.add({ kind: 'comment', path: '/api/v1/incidents/5/comment', body: { comment } });
 */
import { proof } from '../api/client';
import { session } from '../session.svelte';
import { stream } from '../stream.svelte';
import { db, forget, itemsOf, type Items } from './db';
import { bereft, type Draft, type Item } from './model';
import { flush, type Outcome } from './send';

const AGAIN_MS = 20_000;
export const TAG = 'thap-outbox';

class Outbox {
  items = $state.raw<readonly Item[]>([]);
  /** Whether `items` is what is kept; before that nothing is known. */
  loaded = $state(false);
  sending = $state(false);
  /** How the last try ended. */
  outcome = $state<Outcome>('empty');
  /** Whether nothing can be kept in this browser. */
  broken = $state(false);
  stuck = $derived(this.items.filter((item) => item.state !== 'waiting').length);
  #sent = new Set<(item: Item) => void>();
  #troubled = new Set<(item: Item) => void>();
  #told: BroadcastChannel | null = null;
  #again = false;

  /** Whose things these are. */
  get who(): string {
    return session.me ? `${session.me.kind}:${session.me.name}` : '';
  }

  /** Send whenever there is a chance; gives what ends it. */
  start(): () => void {
    void forget(this.who);
    this.#told = new BroadcastChannel(TAG);
    this.#told.onmessage = () => void this.load();
    const go = () => void this.flush();
    window.addEventListener('online', go);
    const stops = [stream.onResumed(go), () => window.removeEventListener('online', go)];
    const timer = window.setInterval(() => this.items.some((item) => item.state === 'waiting') && go(), AGAIN_MS);
    void this.load().then(go);
    return () => {
      for (const stop of stops) stop();
      window.clearInterval(timer);
      this.#told?.close();
      this.#told = null;
    };
  }

  onSent(take: (item: Item) => void): () => void {
    this.#sent.add(take);
    return () => this.#sent.delete(take);
  }

  onTrouble(take: (item: Item) => void): () => void {
    this.#troubled.add(take);
    return () => this.#troubled.delete(take);
  }

  async load(): Promise<void> {
    try {
      this.items = this.who ? await itemsOf(this.who) : [];
      this.loaded = true;
    } catch {
      this.broken = true;
    }
  }

  /** Keep something to be sent; gives its number. It is safe when this returns. */
  add(draft: Draft): Promise<number> {
    return this.addWith(draft, () => []);
  }

  /** Keep something, and what needs its number: all of it or nothing. */
  async addWith(draft: Draft, needing: (id: number) => Draft[]): Promise<number> {
    const tx = (await db()).transaction('items', 'readwrite');
    const id = await tx.store.add(this.#item(draft));
    for (const one of needing(id)) void tx.store.add(this.#item(one));
    await tx.done;
    await this.#changed();
    void navigator.storage?.persist?.().catch(() => false);
    void this.flush();
    return id;
  }

  #item(draft: Draft): Item {
    const item: Omit<Item, 'id'> = {
      who: this.who, key: crypto.randomUUID(), made: Date.now() * 1000, body: null, file: null, state: 'waiting', tries: 0, trouble: null, needs: [], task: null,
      incident: null, attach: '', title: '', text: '', seen: null, ...structuredClone(draft),
    };
    return item as Item; // the database gives the number
  }

  /** Try again what was refused; `body` where the person changed something. */
  async retry(item: Item, body: Item['body'] = item.body): Promise<void> {
    await (await db()).put('items', { ...item, body, key: crypto.randomUUID(), state: 'waiting', tries: 0, trouble: null });
    await this.#changed();
    await this.flush();
  }

  /** Let something else take the place of an item: both or neither. */
  async replace(item: Item, draft: Draft): Promise<void> {
    const tx = (await db()).transaction('items', 'readwrite');
    await this.#drop(tx.store, item);
    await tx.store.add(this.#item(draft));
    await tx.done;
    await this.#changed();
    void this.flush();
  }

  /** How many things make no sense without this one. */
  dependents(item: Item): number {
    return this.items.filter((other) => bereft(other, item.id) === null).length;
  }

  /** Throw something away, with what makes no sense without it. */
  async discard(item: Item): Promise<void> {
    const tx = (await db()).transaction('items', 'readwrite');
    await this.#drop(tx.store, item);
    await tx.done;
    await this.#changed();
  }

  async #drop(store: Items, item: Item): Promise<void> {
    await store.delete(item.id);
    for (const other of await store.index('who').getAll(item.who)) {
      const left = bereft(other, item.id);
      if (left === null) await store.delete(other.id);
      else if (left !== other) await store.put(left);
    }
  }

  async flush(): Promise<void> {
    if (!this.who || this.broken) return;
    if (this.sending) {
      this.#again = true;
      return;
    }
    this.sending = true;
    try {
      do {
        this.#again = false;
        this.outcome = await flush(this.who, {
          proof,
          changed: (item, sent) => {
            for (const take of sent ? this.#sent : this.#troubled) take(item);
            void this.#changed();
          },
        });
      } while (this.#again);
    } catch {
      this.outcome = 'later';
    } finally {
      this.sending = false;
    }
    await this.load();
    if (this.outcome === 'sign_in' || this.outcome === 'other_person') void session.verify();
    if (this.items.some((item) => item.state === 'waiting')) void this.#inBackground();
  }

  /** Where the browser can, it wakes the service worker when there is a line again, even with no page open. */
  async #inBackground(): Promise<void> {
    try {
      const worker = (await navigator.serviceWorker?.getRegistration()) as (ServiceWorkerRegistration & { sync?: { register: (tag: string) => Promise<void> } }) | undefined;
      await worker?.sync?.register(TAG);
    } catch {
      // not here: the page sends it when it is opened again
    }
  }

  async #changed(): Promise<void> {
    this.#told?.postMessage('changed');
    await this.load();
  }
}

export const outbox = new Outbox();
