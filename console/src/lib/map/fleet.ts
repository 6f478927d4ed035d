/**
 * The movers in view, as columns that go to the graphics card as they are.
 *
 * Places are kept relative to an anchor, in 1/2^25 of the Mercator world around it: 32-bit floats then hold a place to a
 * few centimetres anywhere in the province. A tail is the last places in a ring, one row of a texture-like buffer each.
 */
import { UNKNOWN, type Frame } from './frame';

/** Places of a tail. */
export const TAIL = 8;
/** A place is added to a tail once the mover has gone this far, in Mercator units of the world (some 15 m). */
const STEP = 15 / 40_075_017;
const GONE = 4e9;
const RADIAN = Math.PI / 180;
/** Of tenths of a degree, radians. */
const TENTH = RADIAN / 10;
const QUARTER_TURN = 1 / (4 * Math.PI);

export interface Mover {
  key: string;
  name: string;
  kind: string;
  domain: string;
}

export const mercatorX = (lon: number): number => (lon + 180) / 360;
export const mercatorY = (lat: number): number => (1 - Math.log(Math.tan(Math.PI / 4 + (lat * Math.PI) / 360)) / Math.PI) / 2;

export class Fleet {
  /** By index; undefined where there is none. */
  movers: (Mover | undefined)[] = [];
  byKey = new Map<string, number>();
  /** One past the highest index in use. */
  size = 0;
  hidden = 0;
  /** x, y from the anchor; course in radians, negative for unknown; 1 under way, 0 at rest, -1 gone. Four floats a mover. */
  points = new Float32Array(0);
  /** TAIL places a mover, x and y from the anchor, the newest at `heads`; unused ones repeat the oldest. */
  tails = new Float32Array(0);
  heads = new Uint8Array(0);
  lon = new Float64Array(0);
  lat = new Float64Array(0);
  time = new Uint32Array(0);
  speed = new Uint16Array(0);
  course = new Uint16Array(0);
  /** Changes with every frame taken. */
  version = 0;
  #anchor: [number, number];

  constructor(lon: number, lat: number) {
    this.#anchor = [mercatorX(lon), mercatorY(lat)];
  }

  get anchor(): readonly [number, number] {
    return this.#anchor;
  }

  get count(): number {
    return this.byKey.size;
  }

  take(frame: Frame): void {
    if (frame.anew) this.#forget();
    for (const index of frame.removed) this.#remove(index);
    let top = this.size;
    for (const [index] of frame.named) if (index >= top) top = index + 1;
    this.#grow(top);
    this.size = top;
    for (const [index, key, name, kind, domain] of frame.named) {
      this.#remove(index);
      this.movers[index] = { key, name, kind, domain };
      this.byKey.set(key, index);
      this.heads[index] = 255; // no tail yet
    }
    this.#place(frame);
    this.hidden = frame.hidden;
    this.version += 1;
  }

  /** The columns of a frame into place. This runs for ten thousand movers each second: no calls, no look-ups in it. */
  #place({ index, lon, lat, time, speed, course }: Frame): void {
    const { points, tails, heads } = this;
    const [left, top] = this.#anchor;
    for (let row = 0; row < index.length; row += 1) {
      const at = index[row]!;
      const east = lon[row]! / 1e7;
      const north = lat[row]! / 1e7;
      const turned = course[row]!;
      const knots = speed[row]!;
      const sine = Math.sin(north * RADIAN);
      const x = (east + 180) / 360 - left;
      const y = 0.5 - Math.log((1 + sine) / (1 - sine)) * QUARTER_TURN - top; // as mercatorY, with one function less
      this.lon[at] = east;
      this.lat[at] = north;
      this.time[at] = time[row]!;
      this.speed[at] = knots;
      this.course[at] = turned;
      const point = at * 4;
      points[point] = x;
      points[point + 1] = y;
      points[point + 2] = turned !== UNKNOWN ? turned * TENTH : -1;
      points[point + 3] = knots !== UNKNOWN && knots < 3 ? 0 : 1;
      const newest = at * TAIL * 2;
      if (heads[at] === 255) {
        heads[at] = 0;
        for (let place = newest; place < newest + TAIL * 2; place += 2) {
          tails[place] = x;
          tails[place + 1] = y;
        }
        continue;
      }
      // The ring is kept in order, newest first, so that a strip of lines can be drawn from it without looking around.
      const gone = Math.abs(x - tails[newest + 2]!) + Math.abs(y - tails[newest + 3]!);
      if (gone > STEP) for (let place = newest + TAIL * 2 - 1; place > newest + 1; place -= 1) tails[place] = tails[place - 2]!;
      tails[newest] = x;
      tails[newest + 1] = y;
    }
  }

  /** Index of the mover nearest to a place within some degrees; -1 for none. */
  nearest(lon: number, lat: number, within: number): number {
    let best = -1;
    let least = within * within;
    const squeeze = Math.cos((lat * Math.PI) / 180);
    for (let at = 0; at < this.size; at += 1) {
      if (!this.movers[at]) continue;
      const dx = (this.lon[at]! - lon) * squeeze;
      const dy = this.lat[at]! - lat;
      const far = dx * dx + dy * dy;
      if (far < least) {
        least = far;
        best = at;
      }
    }
    return best;
  }

  #remove(at: number): void {
    const mover = this.movers[at];
    if (!mover) return;
    this.movers[at] = undefined;
    if (this.byKey.get(mover.key) === at) this.byKey.delete(mover.key);
    this.points[at * 4] = GONE;
    this.points[at * 4 + 3] = -1;
    this.heads[at] = 255;
    this.tails.fill(GONE, at * TAIL * 2, (at + 1) * TAIL * 2);
  }

  #forget(): void {
    for (let at = 0; at < this.size; at += 1) this.#remove(at);
    this.movers.length = 0;
    this.size = 0;
  }

  #grow(size: number): void {
    if (size <= this.lon.length) return;
    const room = Math.max(size, this.lon.length * 2, 1024);
    const wider = <T extends Float32Array | Float64Array | Uint8Array | Uint16Array | Uint32Array>(old: T, width: number): T => {
      const made = new (old.constructor as new (length: number) => T)(room * width);
      made.set(old as never);
      return made;
    };
    this.points = wider(this.points, 4);
    this.tails = wider(this.tails, TAIL * 2);
    this.heads = wider(this.heads, 1);
    this.lon = wider(this.lon, 1);
    this.lat = wider(this.lat, 1);
    this.time = wider(this.time, 1);
    this.speed = wider(this.speed, 1);
    this.course = wider(this.course, 1);
  }
}
