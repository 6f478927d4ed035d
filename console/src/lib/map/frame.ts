/** Frames of `/api/v1/movers/live`: what changed among the movers in view. The layout is told in `thap/web/movers.py`. */
export const MAGIC = 0x314d4854;
export const UNKNOWN = 65_535;
const HEAD = 24;

/** [index, key, name, kind, domain] of a mover that is new on this map. */
export type Named = [number, string, string, string, string];

export interface Frame {
  /** What was known before is forgotten. */
  anew: boolean;
  /** Movers in view beyond the most that are shown. */
  hidden: number;
  named: Named[];
  index: Uint32Array;
  /** 1e-7 degrees. */
  lon: Int32Array;
  lat: Int32Array;
  /** Seconds since 1970. */
  time: Uint32Array;
  /** 0.1 knots; UNKNOWN. */
  speed: Uint16Array;
  /** 0.1 degrees; UNKNOWN. */
  course: Uint16Array;
  removed: Uint32Array;
}

/** Read a frame; its columns look into the buffer. Throws where it is none. */
export function readFrame(buffer: ArrayBuffer): Frame {
  const [magic, flags = 0, n = 0, r = 0, names = 0, hidden = 0] = buffer.byteLength >= HEAD ? new Uint32Array(buffer, 0, 6) : [];
  if (magic !== MAGIC || buffer.byteLength !== HEAD + names + n * 20 + r * 4) throw new Error('not a frame of movers');
  let at = HEAD + names;
  const next = (size: number) => {
    const from = at;
    at += size;
    return from;
  };
  return {
    anew: (flags & 1) === 1,
    hidden,
    named: names ? (JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, HEAD, names))) as Named[]) : [],
    index: new Uint32Array(buffer, next(n * 4), n),
    lon: new Int32Array(buffer, next(n * 4), n),
    lat: new Int32Array(buffer, next(n * 4), n),
    time: new Uint32Array(buffer, next(n * 4), n),
    speed: new Uint16Array(buffer, next(n * 2), n),
    course: new Uint16Array(buffer, next(n * 2), n),
    removed: new Uint32Array(buffer, next(r * 4), r),
  };
}
