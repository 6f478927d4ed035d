/** The time a page looks at, in its address: `span` up to now, or `from` and `to`. */
import { searchParams } from 'sv-router';

import { DAY, nowUs } from '$lib/format';
import { tick } from '$lib/tick.svelte';

const STEP = 30_000_000; // following the clock, the page moves each half minute

export class TimeRange {
  #fallback: number = DAY;
  #from = $derived(Number(searchParams.get('from') ?? 0));
  #to = $derived(Number(searchParams.get('to') ?? 0));
  /** µs; 0 where the time stands still. */
  readonly span = $derived(this.#from < this.#to ? 0 : Number(searchParams.get('span') ?? 0) * 1e6 || this.#fallback);
  /** When the newest data is of, µs; 0 where that is not known. Old data is what a page without a chosen time shows. */
  newest = $state(0);
  #clock = $derived(Math.ceil(Math.max(tick.us, nowUs()) / STEP) * STEP);
  /** Whether it ends with the newest data, for there is none later. */
  readonly past = $derived(this.span > 0 && this.newest > 0 && this.newest < this.#clock - this.span);
  #now = $derived(this.past ? Math.ceil(this.newest / STEP) * STEP + STEP : this.#clock);
  readonly to = $derived(this.span ? this.#now : this.#to);
  readonly from = $derived(this.span ? this.#now - this.span : this.#from);

  constructor(fallback = DAY) {
    this.#fallback = fallback;
  }

  show = (from: number, to: number): void => {
    searchParams.delete('span', undefined, { replace: true } as never);
    searchParams.set('from', Math.round(from), { replace: true } as never);
    searchParams.set('to', Math.round(to), { replace: true } as never);
  };

  follow = (span: number): void => {
    searchParams.delete('from', undefined, { replace: true } as never);
    searchParams.delete('to', undefined, { replace: true } as never);
    searchParams.set('span', span / 1e6, { replace: true } as never);
  };
}
