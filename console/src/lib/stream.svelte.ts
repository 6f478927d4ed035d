/**
 * The tab's one event stream: what the screens listen for, resumed after a drop where it stopped.
 *
 *     const stop = stream.on('incident', (event) => …);
 *
 * Kinds are those of `GET /api/v1/stream`. The connection carries only the kinds somebody listens for.
 * `alarm` events come without gaps or doubles; `observation` and `position` carry the latest values as columns;
 * other kinds may be missed while the line is down: listen for `resumed` and read again what depends on them.
 */
import { session } from './session.svelte';

export type Kind = 'alarm' | 'observation' | 'position' | 'stage' | 'incident' | 'task' | 'duty' | 'report' | 'warning' | 'quarantine' | 'registry' | 'rules';
export type StreamState = 'connecting' | 'live' | 'lost';

const QUIET_MS = 12_000; // a heartbeat of some role comes each second, a comment each ten
const AGAIN_MS = 2000;
/** Kinds of which nothing is missed, or whose next event says all. */
const COMPLETE = new Set(['alarm', 'observation', 'position', 'stage']);

class Stream {
  state = $state<StreamState>('connecting');
  /** When something was last heard before the line was lost, ms since 1970. */
  heard = $state(0);
  #heard = 0; // moves several times a second: what shows it needs it once
  #listeners = new Map<Kind, Set<((data: never) => void) | null>>();
  #resumed = new Set<() => void>();
  #connected = new Set<() => void>();
  #last: string | null = null;
  #source: EventSource | null = null;
  #carried = '';
  #soon = 0;
  #again = 0;
  #watch = 0;
  #dropped = false;

  /** Listen for a kind; gives what ends it. Without `take` it is carried, as a sign of life, and not read. */
  on<T>(kind: Kind, take?: (data: T) => void): () => void {
    const found = this.#listeners.get(kind) ?? new Set();
    this.#listeners.set(kind, found);
    const listener = (take ?? null) as ((data: never) => void) | null;
    found.add(listener);
    this.#rearrange();
    return () => {
      found.delete(listener);
      if (!found.size) this.#listeners.delete(kind);
      this.#rearrange();
    };
  }

  /** Called at each new connection, from which on events come: also the first, and when other kinds are carried. */
  onConnected(take: () => void): () => void {
    this.#connected.add(take);
    return () => this.#connected.delete(take);
  }

  /** Called whenever the line is up again after it was down, and where it carries a kind for the first time. */
  onResumed(take: () => void): () => void {
    this.#resumed.add(take);
    return () => this.#resumed.delete(take);
  }

  /** Connect, events from `last` on (an id of the stream); from now on where it is null. */
  open(last: string | null = null): void {
    this.#last = last;
    if (!this.#watch) this.#watch = window.setInterval(() => this.#look(), 1000);
    this.#connect();
  }

  close(): void {
    window.clearInterval(this.#watch);
    window.clearTimeout(this.#again);
    this.#watch = 0;
    this.#source?.close();
    this.#source = null;
  }

  #wanted(): string {
    return [...this.#listeners.keys()].sort().join(',');
  }

  /** Listeners come and go in a burst when a screen changes: one new connection for all of them. */
  #rearrange(): void {
    window.clearTimeout(this.#soon);
    this.#soon = window.setTimeout(() => {
      if (this.#watch && this.#wanted() !== this.#carried) this.#connect();
    }, 50);
  }

  #connect(): void {
    window.clearTimeout(this.#again);
    this.#source?.close();
    this.#source = null;
    const before = this.#carried.split(',');
    this.#carried = this.#wanted();
    if (!this.#carried) return;
    const fresh = this.#carried.split(',').some((kind) => !COMPLETE.has(kind) && !before.includes(kind));
    const query = new URLSearchParams({ kinds: this.#carried });
    if (this.#last) query.set('last_event_id', this.#last);
    const source = (this.#source = new EventSource(`/api/v1/stream?${query}`));
    for (const kind of this.#listeners.keys()) {
      source.addEventListener(kind, (event: MessageEvent<string>) => {
        if (source !== this.#source) return;
        this.#last = event.lastEventId || this.#last;
        this.#hear();
        const takers = [...(this.#listeners.get(kind) ?? [])].filter((take) => take !== null);
        if (!takers.length) return;
        const data = JSON.parse(event.data) as never;
        for (const take of takers) take(data);
      });
    }
    source.onopen = () => {
      if (source !== this.#source) return;
      this.#hear();
      // Without an id it begins now; with one, what came meanwhile follows.
      if (!this.#last) for (const take of this.#connected) take();
      // What happened between a screen's first reading and this line is told by nobody: it reads again.
      if (fresh) for (const take of this.#resumed) take();
    };
    source.onerror = () => {
      if (source !== this.#source) return;
      this.#lose();
      // A refusal ends an EventSource for good; a broken connection it mends itself.
      if (source.readyState === EventSource.CLOSED) {
        void session.verify(); // over? then the sign-in form is shown
        this.#again = window.setTimeout(() => this.#connect(), AGAIN_MS);
      }
    };
  }

  #hear(): void {
    this.#heard = Date.now();
    if (this.state === 'live') return;
    this.state = 'live';
    if (this.#dropped) for (const take of this.#resumed) take();
    this.#dropped = false;
  }

  #lose(): void {
    this.state = 'lost';
    this.heard = this.#heard;
    this.#dropped = true;
  }

  #look(): void {
    if (this.#source && this.state === 'live' && Date.now() - this.#heard > QUIET_MS) {
      this.#lose();
      this.#connect();
    }
  }
}

export const stream = new Stream();
