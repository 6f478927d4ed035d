/** What a backtest says beside what really was raised: both, only the one, only the other. */
import { levelOf, usOf, type Really, type Would } from './model';

export interface Pair {
  source: string;
  severity: number;
  raised: number;
  cleared: number | null;
  would: Would | null;
  really: Really | null;
}

const SLACK = 60_000_000; // a live alarm follows its record by the engine's batches and delays of the line

/** Pairs alarms of one source and condition that overlap in time, each with at most one; newest first. */
export function paired(would: readonly Would[], really: readonly Really[], until: number): Pair[] {
  const left = new Map<string, Really[]>();
  for (const one of really) {
    const key = `${one.source}\n${one.condition}`;
    left.set(key, [...(left.get(key) ?? []), one]);
  }
  const pairs: Pair[] = would.map((one) => {
    const raised = usOf(one.raised);
    const cleared = one.cleared === null ? null : usOf(one.cleared);
    const others = left.get(`${one.source}\n${one.condition}`) ?? [];
    const at = others.findIndex((other) => other.raised <= (cleared ?? until) + SLACK && (other.cleared ?? until) >= raised - SLACK);
    const found = at < 0 ? null : others.splice(at, 1)[0]!;
    return { source: one.source, severity: levelOf(one.severity), raised, cleared, would: one, really: found };
  });
  for (const others of left.values())
    for (const one of others) pairs.push({ source: one.source, severity: one.severity, raised: one.raised, cleared: one.cleared, would: null, really: one });
  return pairs.sort((a, b) => b.raised - a.raised);
}

/** How many are in both, only in the backtest, only in what was raised. */
export function counts(pairs: readonly Pair[]): { both: number; only_would: number; only_really: number } {
  const both = pairs.filter((pair) => pair.would && pair.really).length;
  const would = pairs.filter((pair) => pair.would).length;
  return { both, only_would: would - both, only_really: pairs.length - would };
}
