/** Heartbeats of the roles as they come, with what each stage's rate was a short while back. */
import { SvelteMap } from 'svelte/reactivity';

import { stream } from '$lib/stream.svelte';

export interface Stage {
  seq?: number;
  lag?: number;
  rate?: number;
  total?: number;
  ready?: boolean;
  holding?: boolean;
  disk_full?: boolean;
  failures?: number;
  faults?: number;
  [figure: string]: unknown;
}

export interface Beat {
  role: string;
  pid: number;
  /** µs. */
  time: number;
  age_s: number;
  fresh: boolean;
  stages: Record<string, Stage>;
  counters: Record<string, number>;
}

const KEPT = 120;

export class Beats {
  /** The newest heartbeat, by role and process; `heard` is when, ms since 1970. */
  all = new SvelteMap<string, Beat & { heard: number }>();
  /** Rates of a stage, records a second, the newest last, by role and stage. */
  rates = new SvelteMap<string, readonly number[]>();

  /** What the system said at first. */
  begin(beats: readonly Beat[]): void {
    const keys = new Set(beats.map((beat) => `${beat.role}/${beat.pid}`));
    for (const key of this.all.keys()) if (!keys.has(key)) this.all.delete(key);
    for (const beat of beats) this.all.set(`${beat.role}/${beat.pid}`, { ...beat, heard: Date.now() - beat.age_s * 1000 });
  }

  /** Listen; gives what ends it. */
  listen(): () => void {
    return stream.on<Partial<Beat> & { role: string; time_us?: number }>('stage', (told) => {
      const beat = { pid: 0, time: told.time_us ?? 0, age_s: 0, fresh: true, stages: {}, counters: {}, ...told, heard: Date.now() };
      for (const [key, other] of this.all) if (other.role === beat.role && other.pid !== beat.pid && Date.now() - other.heard > 5000) this.all.delete(key);
      this.all.set(`${beat.role}/${beat.pid}`, beat);
      for (const [name, stage] of Object.entries(beat.stages)) {
        const key = `${beat.role}/${name}`;
        this.rates.set(key, [...(this.rates.get(key) ?? []), stage.rate ?? 0].slice(-KEPT));
      }
    });
  }
}
