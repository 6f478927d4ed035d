/** Stays and moves of a mover, from its positions: simple, by distance alone. */
export interface At {
  time: number;
  lon: number;
  lat: number;
  speed_kn: number | null;
}

export interface Leg {
  kind: 'stay' | 'move';
  from: number;
  to: number;
  /** Where it began; of a stay, its middle. */
  lon: number;
  lat: number;
  /** Along the positions. */
  metres: number;
  /** The fastest reported; null where no speed was. */
  fastest: number | null;
}

const EARTH_M = 6_371_000;
const RADIANS = Math.PI / 180;

/** Distance over ground, on a sphere. */
export function metres(a: { lon: number; lat: number }, b: { lon: number; lat: number }): number {
  const [phi, psi] = [a.lat * RADIANS, b.lat * RADIANS];
  const sin = (x: number) => Math.sin(x / 2) ** 2;
  const h = sin(psi - phi) + Math.cos(phi) * Math.cos(psi) * sin((b.lon - a.lon) * RADIANS);
  return 2 * EARTH_M * Math.asin(Math.min(1, Math.sqrt(h)));
}

/** A stay is at least `longS` seconds within `wideM` metres of where it began; what lies between is a move. */
export function legsOf(fixes: readonly At[], wideM = 150, longS = 600): Leg[] {
  const legs: Leg[] = [];
  let moving = 0; // where the move under way began
  const move = (begin: number, end: number) => {
    if (end <= begin) return;
    const part = fixes.slice(begin, end + 1);
    const speeds = part.map((fix) => fix.speed_kn).filter((speed): speed is number => speed !== null);
    let length = 0;
    for (let index = 1; index < part.length; index++) length += metres(part[index - 1]!, part[index]!);
    legs.push({ kind: 'move', from: part[0]!.time, to: part.at(-1)!.time, lon: part[0]!.lon, lat: part[0]!.lat, metres: length, fastest: speeds.length ? Math.max(...speeds) : null });
  };
  for (let start = 0; start < fixes.length; ) {
    const anchor = fixes[start]!;
    let end = start;
    while (end + 1 < fixes.length && metres(anchor, fixes[end + 1]!) <= wideM) end++;
    if (fixes[end]!.time - anchor.time >= longS * 1e6) {
      move(moving, start);
      const part = fixes.slice(start, end + 1);
      const mean = (pick: (fix: At) => number) => part.reduce((sum, fix) => sum + pick(fix), 0) / part.length;
      legs.push({ kind: 'stay', from: anchor.time, to: fixes[end]!.time, lon: mean((fix) => fix.lon), lat: mean((fix) => fix.lat), metres: 0, fastest: null });
      moving = end;
      start = end + 1;
    } else start++;
  }
  move(moving, fixes.length - 1);
  return joined(legs, wideM);
}

/** Stays between which it went less than twice their width are one: it swung at its anchor. */
function joined(legs: readonly Leg[], wideM: number): Leg[] {
  const made: Leg[] = [];
  for (const leg of legs) {
    const [before, last] = made.slice(-2);
    if (leg.kind === 'stay' && last?.kind === 'stay' && metres(last, leg) <= 2 * wideM) last.to = leg.to;
    else if (leg.kind === 'stay' && last?.kind === 'move' && before?.kind === 'stay' && metres(before, leg) <= 2 * wideM && last.metres <= 2 * wideM) {
      made.pop();
      before.to = leg.to;
    } else made.push({ ...leg });
  }
  return made;
}
