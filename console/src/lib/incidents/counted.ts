/** Counted time until a deadline: around the clock, or in working hours. Moments are µs. */
export interface Span {
  begin: number;
  end: number;
}

/** Time of `spans` between two moments, µs. */
export const countedWithin = (spans: readonly Span[], since: number, until: number): number =>
  spans.reduce((sum, { begin, end }) => sum + Math.max(0, Math.min(end, until) - Math.max(begin, since)), 0);

export interface Left {
  /** Counted time left; below nothing since the deadline was missed, by the wall clock. */
  us: number;
  late: boolean;
  /** When offices open next, where they are closed now and the clock counts working hours. */
  opens: number | null;
}

/** What is left until `due` at `now`; null where the calendar does not reach so far. */
export function leftUntil(due: number, now: number, working: boolean, ahead: readonly Span[] | null): Left | null {
  if (due <= now) return { us: due - now, late: true, opens: null };
  if (!working) return { us: due - now, late: false, opens: null };
  const last = ahead?.at(-1);
  if (!ahead || !last || due > last.end) return null;
  const open = ahead.some(({ begin, end }) => begin <= now && now < end);
  return { us: countedWithin(ahead, now, due), late: false, opens: open ? null : (ahead.find(({ begin }) => begin > now)?.begin ?? null) };
}
