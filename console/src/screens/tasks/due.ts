/** How long a task may still take, counted by its clock: around the clock, or while offices are open. */

export interface Span {
  begin: number;
  end: number;
}

let ahead: readonly Span[] = [];

/** When offices are open in the weeks to come, in order, µs; as `/api/v1/calendar` says. */
export function setAhead(spans: readonly Span[]): void {
  ahead = spans;
}

/** Working time between two moments, µs; null where the calendar does not reach so far. */
export function workingLeft(now: number, due: number, spans: readonly Span[] = ahead): number | null {
  const last = spans[spans.length - 1];
  if (!last || due > last.end) return null;
  return spans.reduce((sum, span) => sum + Math.max(0, Math.min(span.end, due) - Math.max(span.begin, now)), 0);
}

/** When the next office hour begins; null while offices are open, or where nothing is known. */
export function opensAt(now: number, spans: readonly Span[] = ahead): number | null {
  const next = spans.find((span) => span.end > now);
  return next && next.begin > now ? next.begin : null;
}
