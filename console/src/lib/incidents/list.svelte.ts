/**
 * A list of incidents by a filter, page by page, kept up by the stream.
 *
 * However far somebody has scrolled, a change costs two small questions at most once in a while: which changed last, and
 * how many there are now. What changed is put where it belongs, or taken out.
 */
import { api } from '../api/client';
import { nowUs } from '../format';
import { session } from '../session.svelte';
import { stream } from '../stream.svelte';
import { comparing, fits, PLAIN, queryOf, type IncidentFilter } from './filter';
import type { Incident, IncidentTold } from './model';

const PAGE = 100;
const SOON_MS = 500;

export class IncidentList {
  items = $state.raw<readonly Incident[]>([]);
  total = $state(0);
  loaded = $state(false);
  loading = $state(false);
  failed = $state.raw<unknown>(null);
  #filter: IncidentFilter = PLAIN;
  #next: string | null = null;
  #turn = 0;
  #changed = 0;
  #soon = 0;

  /** Read by this filter from now on. */
  show(filter: IncidentFilter): void {
    this.#filter = filter;
    void this.load();
  }

  /** Listen for changes; gives what ends it. */
  use(): () => void {
    const stops = [
      stream.on<IncidentTold>('incident', (told) => this.#take(told)),
      stream.onResumed(() => void this.load()),
    ];
    return () => {
      for (const stop of stops) stop();
      window.clearTimeout(this.#soon);
    };
  }

  async load(): Promise<void> {
    const turn = ++this.#turn;
    this.loading = true;
    try {
      const page = await this.#read(null);
      if (turn !== this.#turn) return;
      this.items = page.items;
      this.total = page.total;
      this.#next = page.next ?? null;
      this.#changed = Math.max(0, ...page.items.map((one) => one.changed));
      this.failed = null;
      this.loaded = true;
    } catch (error) {
      if (turn === this.#turn) this.failed = error;
    } finally {
      if (turn === this.#turn) this.loading = false;
    }
  }

  /** The next page, where there is one. */
  async more(): Promise<void> {
    if (this.loading || this.#next === null) return;
    const turn = this.#turn;
    this.loading = true;
    try {
      const page = await this.#read(this.#next);
      if (turn !== this.#turn) return;
      const known = new Set(this.items.map((one) => one.id));
      this.items = [...this.items, ...page.items.filter((one) => !known.has(one.id))];
      this.#next = page.next ?? null;
    } catch (error) {
      if (turn === this.#turn) this.failed = error;
    } finally {
      if (turn === this.#turn) this.loading = false;
    }
  }

  /** Show one otherwise at once; what the centre says replaces it. */
  patch(id: number, change: Partial<Incident>): void {
    this.items = this.items.map((one) => (one.id === id ? { ...one, ...change } : one));
  }

  #read(after: string | null) {
    const query = { ...queryOf(this.#filter, session.me?.name ?? ''), sort: this.#filter.sort, limit: PAGE, after };
    return api.get('/api/v1/incidents', { query });
  }

  #take(told: IncidentTold): void {
    const { id, version, state, severity, domain, unit, commune, owner, title } = told;
    const known = this.items.find((one) => one.id === id);
    if (known && version >= known.version) this.patch(id, { version, state: state as Incident['state'], severity, domain, unit, commune, owner, title });
    if (!this.#soon) this.#soon = window.setTimeout(() => ((this.#soon = 0), void this.#catchUp()), SOON_MS);
  }

  async #catchUp(): Promise<void> {
    const turn = this.#turn;
    try {
      const [latest, here] = await Promise.all([
        api.get('/api/v1/incidents', { query: { sort: '-changed', limit: PAGE } }),
        api.get('/api/v1/incidents', { query: { ...queryOf(this.#filter, session.me?.name ?? ''), limit: 1 } }),
      ]);
      if (turn !== this.#turn) return;
      const oldest = latest.items.at(-1);
      // More changed than one answer holds, or only the centre can say which are wanted: read anew.
      if (this.#filter.cleared || (latest.next && oldest && oldest.changed > this.#changed)) return void (await this.load());
      this.#put(latest.items);
      this.total = here.total;
    } catch {
      // the next change, or the line's return, reads it again
    }
  }

  #put(latest: readonly Incident[]): void {
    const before = comparing(this.#filter.sort);
    const found = new Map(this.items.map((one) => [one.id, one]));
    const last = this.items.at(-1);
    const me = session.me?.name ?? '';
    for (const one of latest) {
      this.#changed = Math.max(this.#changed, one.changed);
      const wanted = fits(one, this.#filter, me, nowUs()) && (this.#next === null || !last || before(one, last) <= 0);
      const known = found.get(one.id);
      if (wanted) found.set(one.id, known && JSON.stringify(known) === JSON.stringify(one) ? known : one); // what is as it was is not drawn anew
      else found.delete(one.id);
    }
    this.items = [...found.values()].sort(before);
  }
}
