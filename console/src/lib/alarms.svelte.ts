/**
 * The open alarms: read once, kept by the stream. One store for the queue, the map, the counters and the title badge.
 *
 * Changes are gathered and published once a frame at most, so that a flood costs one drawing, not two hundred.
 */
import { SvelteMap } from 'svelte/reactivity';

import { api, ApiError, type Answer } from './api/client';
import { said, tOr } from './i18n.svelte';
import { stream } from './stream.svelte';

export type Alarm = Answer<'/api/v1/alarms'>['items'][number];
export type AlarmEvent = Answer<'/api/v1/alarms/{alarm_id}'>['transitions'][number];
export type AlarmAct = 'acknowledge' | 'shelve' | 'unshelve' | 'suppress' | 'unsuppress' | 'remove' | 'restore';

const OPEN = new Set<string>(['unacknowledged', 'acknowledged', 'returned_unacknowledged']);
const PAGE = 1000;
const GENTLE_MS = 100;
/** So many alarms, and the lists are made anew half as often, and so on. */
const MANY = 3000;
const HIDDEN_MS = 500;

/** How pressing an alarm is: what calls for somebody first, then by severity. */
export const rank = (alarm: Alarm): number => (alarm.state === 'acknowledged' ? 0 : 10) + alarm.severity;

class Alarms {
  /** The open ones, the most pressing and newest first. Replaced, never changed. */
  open = $state.raw<readonly Alarm[]>([]);
  /** Whether they have been read. */
  loaded = $state(false);
  failed = $state<unknown>(null);
  /** Titles of conditions that rules gave, by name: `{vi, en}`. */
  titles = new SvelteMap<string, Record<string, string>>();
  /** How many call for somebody, by severity 1–4 (index 0: all). */
  calling = $derived.by(() => {
    const counts = [0, 0, 0, 0, 0];
    for (const alarm of this.open) {
      if (alarm.state === 'acknowledged') continue;
      counts[0]! += 1;
      counts[alarm.severity]! += 1;
    }
    return counts;
  });
  #all = new Map<number, Alarm>();
  #meanwhile = new Set<AlarmEvent[]>();
  #annunciated = new Set<(event: AlarmEvent) => void>();
  #pending = false;
  #published = 0;
  #users = 0;
  #stops: (() => void)[] = [];

  /** Keep the store up to date while somebody looks; gives what ends it. */
  use(): () => void {
    if (this.#users++ === 0) {
      this.#stops = [
        stream.on<AlarmEvent>('alarm', (event) => this.#take(event)),
        stream.on('rules', () => void this.#readTitles()),
        stream.onConnected(() => void this.load()), // what was raised between the first reading and the line
      ];
      void this.load();
      void this.#readTitles();
    }
    return () => {
      if (--this.#users === 0) for (const stop of this.#stops.splice(0)) stop();
    };
  }

  get(id: number): Alarm | undefined {
    return this.#all.get(id);
  }

  /** Called for each transition that is a call on the operator. */
  onAnnunciated(take: (event: AlarmEvent) => void): () => void {
    this.#annunciated.add(take);
    return () => this.#annunciated.delete(take);
  }

  /** The title of an alarm's condition, in the language spoken. */
  title(alarm: Pick<Alarm, 'condition'>): string {
    return said(this.titles.get(alarm.condition)) || tOr(`condition.${alarm.condition}`, alarm.condition);
  }

  /** Read the open alarms anew. The answer may be older than what the stream said while it was on its way. */
  async load(): Promise<void> {
    const meanwhile: AlarmEvent[] = [];
    this.#meanwhile.add(meanwhile);
    try {
      const found = new Map<number, Alarm>();
      for (let offset: string | null = ''; offset !== null; ) {
        const page: Answer<'/api/v1/alarms'> = await api.get('/api/v1/alarms', {
          query: { state: [...OPEN], limit: PAGE, sort: '-changed', after: offset },
        });
        for (const alarm of page.items) found.set(alarm.id, alarm);
        offset = (page as { next?: string | null }).next ?? null;
      }
      this.#all = found;
      this.failed = null;
      this.loaded = true;
    } catch (error) {
      this.failed = error;
    } finally {
      this.#meanwhile.delete(meanwhile);
    }
    for (const event of meanwhile) this.#apply(event);
    this.#publish();
  }

  /**
   * Act on an alarm. The screen shows it done at once; where the centre refuses, it springs back and the error is thrown.
   */
  async act(alarm: Alarm, act: AlarmAct, body: { comment?: string; for?: string } = {}): Promise<void> {
    const before = this.#all.get(alarm.id);
    if (act === 'acknowledge' && before) this.#all.set(alarm.id, { ...before, state: before.active ? 'acknowledged' : before.state });
    else this.#all.delete(alarm.id);
    this.#publish();
    try {
      const answer =
        act === 'shelve'
          ? await api.post('/api/v1/alarms/{alarm_id}/shelve', { ...body, version: alarm.version }, { path: { alarm_id: alarm.id } })
          : await api.post('/api/v1/alarms/{alarm_id}/{action}', { ...body, version: alarm.version }, { path: { alarm_id: alarm.id, action: act } });
      if (answer) this.#apply(answer as unknown as AlarmEvent);
    } catch (error) {
      const now = this.#all.get(alarm.id);
      if (before && (now === undefined ? act !== 'acknowledge' : now.version === before.version)) this.#all.set(alarm.id, before);
      if (error instanceof ApiError && error.status === 409) await this.load();
      throw error;
    } finally {
      this.#publish();
    }
  }

  #take(event: AlarmEvent): void {
    for (const events of this.#meanwhile) events.push(event);
    if (this.#apply(event)) for (const tell of this.#annunciated) tell(event);
    this.#publish();
  }

  /** True where the transition is a call on the operator. */
  #apply(event: AlarmEvent): boolean {
    const known = this.#all.get(event.alarm);
    if (known && event.version < known.version) return false;
    if (!OPEN.has(event.to_state)) {
      this.#all.delete(event.alarm);
      return false;
    }
    const { source, condition, severity, domain, commune, lon = null, lat = null, active, value = null, version } = event;
    this.#all.set(event.alarm, {
      ...(known as Alarm),
      id: event.alarm,
      source,
      condition,
      severity,
      domain,
      commune,
      lon,
      lat,
      active,
      value,
      version,
      state: event.to_state,
      raised: event.action === 'raise' || !known ? event.time : known.raised,
      changed: event.recorded_at,
    });
    return event.annunciated;
  }

  /** Show what changed: at the next frame, in a flood ten times a second, in a hidden tab after half a second. */
  #publish(): void {
    if (this.#pending) return;
    this.#pending = true;
    const draw = () => {
      window.clearTimeout(spare);
      cancelAnimationFrame(frame);
      this.#pending = false;
      this.#published = performance.now();
      this.open = [...this.#all.values()].sort((a, b) => rank(b) - rank(a) || b.raised - a.raised || b.id - a.id);
    };
    let frame = 0;
    const wait = Math.max(0, this.#published + GENTLE_MS * (1 + this.#all.size / MANY) - performance.now());
    if (wait === 0) frame = requestAnimationFrame(draw);
    const spare = window.setTimeout(draw, wait || HIDDEN_MS);
  }

  async #readTitles(): Promise<void> {
    try {
      const answer = (await api.get('/api/v1/rules')) as unknown as { rules: { name: string; title: Record<string, string> }[] };
      for (const rule of answer.rules) this.titles.set(rule.name, rule.title);
    } catch {
      // names of conditions stand in
    }
  }
}

export const alarms = new Alarms();
