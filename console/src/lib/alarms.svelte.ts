/**
 * The open alarms: read once, kept by the stream. One store for the queue, the map, the counters and the title badge.
 *
 * Changes are gathered and shown together: in a flood as often as a fifth of the page's time allows, so that whoever
 * types or clicks is served first.
 */
import { tick as shown } from 'svelte';
import { SvelteMap } from 'svelte/reactivity';

import { api, ApiError, type Answer } from './api/client';
import { said, tOr } from './i18n.svelte';
import { merged } from './sorted';
import { stream } from './stream.svelte';

export type Alarm = Answer<'/api/v1/alarms'>['items'][number];
export type AlarmEvent = Answer<'/api/v1/alarms/{alarm_id}'>['transitions'][number];
export type AlarmAct = 'acknowledge' | 'shelve' | 'unshelve' | 'suppress' | 'unsuppress' | 'remove' | 'restore';

const GONE_MOST = 10_000;
const OPEN = new Set<string>(['unacknowledged', 'acknowledged', 'returned_unacknowledged']);
const PAGE = 1000;
/** Showing what changed takes at most this part of the page's time, and waits no longer than LATEST_MS. */
const PART = 1 / 5;
const LATEST_MS = 400;
const HIDDEN_MS = 500;

/** How pressing an alarm is: what calls for somebody first, then by severity. */
export const rank = (alarm: Alarm): number => (alarm.state === 'acknowledged' ? 0 : 10) + alarm.severity;
const before = (a: Alarm, b: Alarm): number => rank(b) - rank(a) || b.raised - a.raised || b.id - a.id;

/** The same text for the same words: each event brings its own copies of the few there are. */
const texts = new Map<string, string>();
function shared(text: string): string {
  const known = texts.get(text);
  if (known !== undefined) return known;
  if (texts.size > 5000) texts.clear();
  texts.set(text, text);
  return text;
}

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
  /** Ids whose alarm is not in `open` as it is now; null where all of it is to be made anew. */
  #changed: Set<number> | null = null;
  #meanwhile = new Set<AlarmEvent[]>();
  /** Versions at which alarms went. */
  #gone = new Map<number, number>();
  #annunciated = new Set<(event: AlarmEvent) => void>();
  #pending = false;
  #frame = 0;
  #soon = 0;
  #spare = 0;
  /** Not before this moment (ms of the page's clock) is the list shown again. */
  #next = 0;
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
      this.#changed = null;
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
    this.#put(alarm.id, act === 'acknowledge' && before ? { ...before, state: before.active ? 'acknowledged' : before.state } : undefined);
    this.#show();
    try {
      const answer =
        act === 'shelve'
          ? await api.post('/api/v1/alarms/{alarm_id}/shelve', { ...body, version: alarm.version }, { path: { alarm_id: alarm.id } })
          : await api.post('/api/v1/alarms/{alarm_id}/{action}', { ...body, version: alarm.version }, { path: { alarm_id: alarm.id, action: act } });
      if (answer) this.#apply(answer as unknown as AlarmEvent);
    } catch (error) {
      const now = this.#all.get(alarm.id);
      if (before && (now === undefined ? act !== 'acknowledge' : now.version === before.version)) this.#put(alarm.id, before);
      if (error instanceof ApiError && error.status === 409) await this.load();
      throw error;
    } finally {
      this.#show();
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
    // The answer to what was done here may come after the event that ended the alarm.
    if (event.version < (known?.version ?? this.#gone.get(event.alarm) ?? 0)) return false;
    if (!OPEN.has(event.to_state)) {
      if (this.#gone.size > GONE_MOST) this.#gone.clear();
      this.#gone.set(event.alarm, event.version);
      this.#put(event.alarm, undefined);
      return false;
    }
    const { source, condition, severity, domain, commune, lon = null, lat = null, active, value = null, version } = event;
    this.#put(event.alarm, {
      ...(known as Alarm),
      id: event.alarm,
      source,
      condition: shared(condition),
      severity,
      domain: shared(domain),
      commune: shared(commune),
      lon,
      lat,
      active,
      value,
      version,
      state: shared(event.to_state) as Alarm['state'],
      raised: event.action === 'raise' || !known ? event.time : known.raised,
      changed: event.recorded_at,
    });
    return event.annunciated;
  }

  #put(id: number, alarm: Alarm | undefined): void {
    if (alarm) this.#all.set(id, alarm);
    else this.#all.delete(id);
    this.#changed?.add(id);
  }

  /** Have what changed shown: at the next frame; in a flood as often as its own cost lets it; in a hidden tab after half a second. */
  #publish(): void {
    if (this.#pending) return;
    this.#pending = true;
    const wait = Math.max(0, this.#next - performance.now());
    const atFrame = () => (this.#frame = requestAnimationFrame(this.#show));
    if (wait) this.#soon = window.setTimeout(atFrame, wait);
    else atFrame();
    this.#spare = window.setTimeout(this.#show, wait + HIDDEN_MS);
  }

  /** Show what changed now, as what somebody did is shown. */
  #show = (): void => {
    window.clearTimeout(this.#soon);
    window.clearTimeout(this.#spare);
    cancelAnimationFrame(this.#frame);
    this.#pending = false;
    const began = performance.now();
    this.open = this.#sorted();
    void shown().then(() => (this.#next = began + Math.min(LATEST_MS, (performance.now() - began) / PART)));
  };

  /** The list as it is now: what did not change keeps its order, so that only the rest is sorted. */
  #sorted(): readonly Alarm[] {
    const changed = this.#changed;
    this.#changed = new Set();
    if (!changed) return [...this.#all.values()].sort(before);
    const kept = changed.size ? this.open.filter((alarm) => !changed.has(alarm.id)) : this.open;
    const fresh = [...changed].map((id) => this.#all.get(id)).filter((alarm) => alarm !== undefined);
    return merged(kept, fresh.sort(before), before);
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
