/**
 * A drill: the past is played as if it were now, what people did about it then is hidden, and each call on the operator
 * waits for an answer. At the end both stand side by side. Nothing of it reaches the centre.
 */
import { remembered } from '$lib/preferences.svelte';
import { session } from '$lib/session.svelte';

import type { Player, Standing, Step } from './player.svelte';

export const ANSWERS = ['take', 'incident', 'leave'] as const;
export type Answer = (typeof ANSWERS)[number];

/** One call on the operator. Times are µs of the time played. */
export interface Call {
  alarm: number;
  condition: string;
  source: string;
  severity: number;
  at: number;
  answer: Answer | null;
  answered: number;
  /** When and by whom it was acknowledged then; 0 and '' where nobody did within what was played. */
  really: number;
  by: string;
}

/** What is kept of a drill in this browser. */
export interface Result {
  from: number;
  to: number;
  speed: number;
  /** When the drill ended, µs. */
  done: number;
  calls: number;
  answered: number;
  median: number | null;
}
const KEPT = 20;

export function median(values: readonly number[]): number | null {
  if (!values.length) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export const results = () =>
  remembered<Result[]>(`drills-${session.me?.name ?? ''}`, [], (value): value is Result[] => Array.isArray(value) && value.every((one) => typeof one === 'object' && one !== null && typeof (one as Result).done === 'number'));

export class Drill {
  /** Whether it has ended: the answers and what happened then are shown. */
  over = $state(false);
  calls = $state.raw<readonly Call[]>([]);
  #player: Player;
  #kept = results();

  constructor(player: Player) {
    this.#player = player;
    player.stepped = (step) => this.#hear(step);
    player.ended = () => this.end();
  }

  /** What still waits for an answer, the most severe first, as rows of the queue. */
  get waiting(): Standing[] {
    return this.calls
      .filter((call) => call.answer === null)
      .sort((a, b) => b.severity - a.severity || a.at - b.at)
      .map((call) => this.#rows.get(call.alarm)!);
  }
  #rows = new Map<number, Standing>();

  #hear(step: Step): void {
    const known = this.calls.find((call) => call.alarm === step.alarm);
    if (step.annunciated && !known) {
      this.#rows.set(step.alarm, { ...step, raised: step.time });
      this.calls = [...this.calls, { alarm: step.alarm, condition: step.condition, source: step.source, severity: step.severity, at: step.time, answer: null, answered: 0, really: 0, by: '' }];
    } else if (known && step.action === 'acknowledge' && !known.really) this.#change(step.alarm, { really: step.time, by: step.by });
    else if (known && step.severity > known.severity) {
      this.#change(step.alarm, { severity: step.severity });
      this.#rows.set(step.alarm, { ...this.#rows.get(step.alarm)!, severity: step.severity });
    }
  }

  answer(alarm: number, answer: Answer): void {
    if (!this.over) this.#change(alarm, { answer, answered: this.#player.at });
  }

  /** Stop the play and keep the outcome. */
  end(): void {
    if (this.over) return;
    this.over = true;
    this.#player.pause();
    const answered = this.calls.filter((call) => call.answer !== null);
    const { from, at, speed } = this.#player;
    const result = { from, to: at, speed, done: Date.now() * 1000, calls: this.calls.length, answered: answered.length, median: median(answered.map((call) => call.answered - call.at)) };
    if (this.calls.length) this.#kept.value = [result, ...this.#kept.value].slice(0, KEPT);
  }

  #change(alarm: number, changes: Partial<Call>): void {
    this.calls = this.calls.map((call) => (call.alarm === alarm ? { ...call, ...changes } : call));
  }
}
