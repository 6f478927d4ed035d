/**
 * Tasks as the phone has them: what was read last is shown at once, also without a line; what the centre says replaces it.
 */
import { SvelteMap } from 'svelte/reactivity';

import { api, type Answer } from '$lib/api/client';
import { day, nowUs } from '$lib/format';
import { names } from '$lib/incidents/names.svelte';
import { keep, recall } from '$lib/outbox/db';
import type { Item } from '$lib/outbox/model';
import { outbox } from '$lib/outbox/outbox.svelte';
import { session } from '$lib/session.svelte';
import { stream } from '$lib/stream.svelte';

import { setAhead } from './due';

export type Task = Answer<'/api/v1/tasks'>['items'][number];
export type Whole = Answer<'/api/v1/incidents/{number}'>;
export type When = 'late' | 'today' | 'later' | 'still';
export const WHEN: readonly When[] = ['late', 'today', 'later', 'still'];

const MOST = 200;
const AHEAD = 30; // incidents that are read before anybody asks, for when there is no line
const SOON_MS = 800;
const PROVINCE = new Set(['', '82']);

/** Which part of the list a task belongs to. */
export function when(task: Task, now: number): When {
  if (task.due === null) return 'still';
  if (task.late !== null || task.due < now) return 'late';
  return day(task.due) === day(now) ? 'today' : 'later';
}

/** Whether a task is the person's own: given to them, or to nobody and of a role they hold there. */
export function isMine(task: Task): boolean {
  const me = session.me;
  if (!me) return false;
  if (task.assignee) return task.assignee === me.name;
  return me.roles.some(
    (held) =>
      held.role === task.role &&
      (!held.domain || held.domain === task.domain) &&
      (PROVINCE.has(held.unit) ? PROVINCE.has(task.unit) : task.unit === held.unit || task.commune === held.unit),
  );
}

class Field {
  tasks = $state.raw<readonly Task[]>([]);
  total = $state(0);
  /** When they were read, µs; null: never. */
  at = $state<number | null>(null);
  /** Whether they are as the centre has them now. */
  fresh = $state(false);
  loaded = $state(false);
  failed = $state.raw<unknown>(null);
  incidents = new SvelteMap<number, { whole: Whole; at: number }>();
  places = $state.raw<Record<string, string>>({});
  #users = 0;
  #stops: (() => void)[] = [];
  #soon = 0;

  /** Keep up to date while somebody looks. */
  use(): () => void {
    if (this.#users++ === 0) {
      const soon = () => {
        window.clearTimeout(this.#soon);
        this.#soon = window.setTimeout(() => void this.load(), SOON_MS);
      };
      this.#stops = [
        stream.on('incident', soon),
        stream.onResumed(soon),
        outbox.onSent(soon),
        () => window.clearTimeout(this.#soon),
      ];
      void this.#begin();
    }
    return () => {
      if (--this.#users === 0) for (const stop of this.#stops.splice(0)) stop();
    };
  }

  /** A commune in words, also without a line. */
  place(code: string): string {
    const named = names.of(code);
    return named === code ? (this.places[code] ?? code) : named;
  }

  /** What waits to be sent about a task. */
  waiting = (task: number): Item[] => outbox.items.filter((item) => item.task === task);

  async #begin(): Promise<void> {
    const who = outbox.who;
    const [tasks, ahead, places] = await Promise.all([
      recall<{ items: Task[]; total: number }>(who, 'tasks'),
      recall<{ begin: number; end: number }[]>(who, 'ahead'),
      recall<Record<string, string>>(who, 'places'),
    ]);
    if (tasks && !this.fresh) {
      this.tasks = tasks.data.items;
      this.total = tasks.data.total;
      this.at = tasks.at;
      this.loaded = true;
    }
    if (ahead) setAhead(ahead.data);
    if (places) this.places = places.data;
    names.need();
    await this.load();
  }

  async load(): Promise<void> {
    const who = outbox.who;
    try {
      const page = await api.get('/api/v1/tasks', { query: { state: ['open', 'paused'], limit: MOST } });
      this.tasks = page.items;
      this.total = page.total;
      this.at = nowUs();
      this.fresh = this.loaded = true;
      this.failed = null;
      await keep(who, 'tasks', { items: page.items, total: page.total });
      void this.#readAhead(who);
    } catch (error) {
      this.failed = error;
      this.fresh = false;
    }
  }

  /** The incident of a task: what is kept at once, then what the centre says. */
  async incident(number: number): Promise<void> {
    const who = outbox.who;
    if (!this.incidents.has(number)) {
      const kept = await recall<Whole>(who, `incident:${number}`);
      if (kept && !this.incidents.has(number)) this.incidents.set(number, { whole: kept.data, at: kept.at });
    }
    await this.#read(who, number).catch(() => undefined);
  }

  async #read(who: string, number: number): Promise<void> {
    const whole = await api.get('/api/v1/incidents/{number}', { path: { number } });
    this.incidents.set(number, { whole, at: nowUs() });
    await keep(who, `incident:${number}`, { ...whole, events: whole.events.slice(0, 20) });
  }

  /** Read what the tasks need where there is no line. */
  async #readAhead(who: string): Promise<void> {
    try {
      const wanted = [...new Set([...this.tasks.filter(isMine), ...this.tasks].map((task) => task.incident))].slice(0, AHEAD);
      for (const number of wanted) if (!this.incidents.has(number)) await this.#read(who, number);
      const calendar = await api.get('/api/v1/calendar');
      setAhead(calendar.ahead);
      await keep(who, 'ahead', calendar.ahead);
      if (names.communes.length) {
        this.places = Object.fromEntries([...names.communes.map((one) => [one.code, one.title]), ...names.offices.map((one) => [one.code, one.name])]) as Record<string, string>;
        await keep(who, 'places', this.places);
      }
    } catch {
      // the line went again: the rest is read when it is back
    }
  }
}

export const field = new Field();
