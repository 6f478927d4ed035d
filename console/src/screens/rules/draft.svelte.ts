/**
 * A rule at work, as text and as fields: each change goes to the centre, which writes the fields into the text (comments
 * stay) or reads the fields out of it, and says what is wrong, with field, line and column.
 */
import { api, ApiError } from '$lib/api/client';
import { because } from '$lib/toast';

import type { Problem, Table } from './model';

const QUIET_MS = 350;

export class Draft {
  body = $state('');
  /** The fields as written; null where the text is no TOML or holds more than one rule. */
  table = $state.raw<Table | null>(null);
  problems = $state.raw<Problem[]>([]);
  /** Name, fingerprint and sources of the sound rule. */
  sound = $state.raw<{ name: string; fingerprint: string; sources: number } | null>(null);
  busy = $state(false);
  /** Why the centre could not be asked. */
  failed = $state('');
  #timer = 0;
  #turn = 0;

  constructor(body: string, table: Table | null = null) {
    this.body = body;
    this.table = table;
    if (table) this.setTable(table, 0);
    else void this.#check(this.#begin());
  }

  /** Somebody typed into the text. */
  setText(body: string): void {
    this.body = body;
    this.sound = null;
    const turn = this.#begin();
    this.#timer = window.setTimeout(() => void this.#check(turn), QUIET_MS);
  }

  /** Somebody changed a field. */
  setTable(table: Table, wait = QUIET_MS): void {
    this.table = table;
    this.sound = null;
    const turn = this.#begin();
    this.#timer = window.setTimeout(() => void this.#write(turn), wait);
  }

  setField(name: string, value: unknown): void {
    this.setTable({ ...this.table, [name]: value });
  }

  /** What is wrong at a field, or below it. */
  wrongAt(field: string, below = false): string {
    const found = this.problems.find((one) => one.field === field || (below && one.field.startsWith(`${field}.`)));
    return found ? [found.message, found.hint].filter(Boolean).join('. ') : '';
  }

  #begin(): number {
    window.clearTimeout(this.#timer);
    this.busy = true;
    return ++this.#turn;
  }

  async #check(turn: number): Promise<void> {
    await this.#take(turn, async () => {
      const answer = await api.post('/api/v1/rules/check', { body: this.body });
      if (turn !== this.#turn) return;
      this.table = answer.tables.length === 1 ? (answer.tables[0] as Table) : null;
      this.#said(answer);
    });
  }

  async #write(turn: number): Promise<void> {
    await this.#take(turn, async () => {
      const answer = await api.post('/api/v1/rules/write', { body: this.body, rule: this.table });
      if (turn !== this.#turn) return;
      this.body = answer.body;
      this.#said(answer);
    });
  }

  async #take(turn: number, ask: () => Promise<void>): Promise<void> {
    try {
      await ask();
      if (turn === this.#turn) this.failed = '';
    } catch (error) {
      if (turn === this.#turn) this.failed = error instanceof ApiError ? because(error) : String(error);
    } finally {
      if (turn === this.#turn) this.busy = false;
    }
  }

  #said(answer: { rules: { name: string; fingerprint: string; sources: number }[]; problems: Problem[] }): void {
    this.problems = answer.problems;
    this.sound = answer.problems.length === 0 && answer.rules.length === 1 ? answer.rules[0]! : null;
  }
}
