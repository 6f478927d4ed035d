/** What is wrong with the centre, from its readiness and heartbeats; each has a message that says what to do. */
import type { Beat } from './beats.svelte';

export interface Check {
  name: string;
  ok: boolean;
  why?: string;
}

export interface Problem {
  /** `health:problem.<key>` says what, `health:do.<key>` what to do. */
  key: string;
  values: Record<string, string | number>;
  /** The centre's own words. */
  why: string;
}

const LAG = 10_000;

export function problems(checks: readonly Check[], beats: readonly Beat[], restarts: readonly [string, number][]): Problem[] {
  const found: Problem[] = checks.filter((one) => !one.ok).map((one) => ({ key: ['records', 'journal', 'disk'].includes(one.name) ? one.name : 'role', values: { role: one.name }, why: one.why ?? '' }));
  const told = new Set(found.map((one) => one.values['role']));
  for (const beat of beats) {
    if (!beat.fresh && !told.has(beat.role)) found.push({ key: 'role', values: { role: beat.role }, why: '' });
    for (const [stage, figures] of Object.entries(beat.stages)) {
      if (figures.disk_full && !told.has('disk')) found.push({ key: 'disk', values: { role: beat.role }, why: stage });
      if (figures.holding) found.push({ key: 'holding', values: { role: beat.role, stage }, why: '' });
      if ((figures.lag ?? 0) > LAG) found.push({ key: 'lag', values: { role: beat.role, stage, lag: figures.lag ?? 0 }, why: '' });
      if (figures.faults) found.push({ key: 'faults', values: { role: beat.role, stage, count: figures.faults }, why: '' });
      if (figures.failures) found.push({ key: 'failures', values: { role: beat.role, stage, count: figures.failures }, why: '' });
    }
  }
  for (const [role, count] of restarts) if (count) found.push({ key: 'restarts', values: { role, count }, why: '' });
  return found;
}
