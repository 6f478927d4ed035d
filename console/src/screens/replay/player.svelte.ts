/**
 * Plays a stretch of the past: its own alarms, incidents and movers, never those of the live stores.
 *
 * The past comes in pieces; the one that plays and the next are held, what is behind is let go. So memory does not grow
 * with the length of what is played.
 */
import { api, type Answer } from '$lib/api/client';
import { MINUTE, SECOND } from '$lib/format';
import { iso } from '$lib/history/series';
import { Fleet } from '$lib/map/fleet';
import { UNKNOWN, type Frame } from '$lib/map/frame';

export type Piece = Answer<'/api/v1/replay/piece'>;
export type Step = Piece['alarms'][number];
export type Happened = Piece['incidents'][number];
type Track = Piece['positions'];

export const SPEEDS = [1, 10, 60, 120, 300, 600] as const;
const OPEN = new Set(['unacknowledged', 'acknowledged', 'returned_unacknowledged']);
const LIVE = new Set(['open', 'acknowledged', 'in_progress', 'waiting']);
const AHEAD_S = 20; // a piece lasts so long at the speed played
const SHORTEST = 5 * MINUTE;
const LONGEST = 6 * 60 * MINUTE;
const STALE_S = 3600;
const LOGGED = 200;
const GENTLE_MS = 100;

/** An alarm as it stood at the moment played. */
export interface Standing extends Step {
  raised: number;
}
export interface Entry {
  key: string;
  time: number;
  alarm?: Step;
  incident?: Happened;
}

/** How long a piece is, and how thin its positions, at a speed. */
export const pieceOf = (speed: number): { length: number; step: number } => ({
  length: Math.min(LONGEST, Math.max(SHORTEST, speed * AHEAD_S * SECOND)),
  step: Math.max(1, Math.round(speed / 10)),
});

export class Player {
  from = $state(0);
  to = $state(0);
  /** The moment shown, µs. */
  at = $state(0);
  speed = $state(60);
  playing = $state(false);
  /** Whether it waits for the centre. */
  waiting = $state(false);
  failed = $state<unknown>(null);
  alarms = $state.raw<readonly Standing[]>([]);
  incidents = $state.raw<readonly Happened[]>([]);
  log = $state.raw<readonly Entry[]>([]);
  readonly fleet = new Fleet(105.8, 10.4);
  /** Called when movers have moved. */
  moved: () => void = () => undefined;
  /** Called for each transition of an alarm, as it is played. */
  stepped: (step: Step) => void = () => undefined;
  /** Called when the end is reached. */
  ended: () => void = () => undefined;

  #alarms = new Map<number, Standing>();
  #incidents = new Map<number, Happened>();
  #log: Entry[] = [];
  #piece: Piece | null = null;
  #next: Promise<Piece> | null = null;
  #cursor = { position: 0, alarm: 0, incident: 0 };
  #clock = 0;
  #turn = 0;
  #drawn = 0;
  #last = 0;
  #indices = new Map<string, number>();

  /** Take a stretch, and stand at its beginning (or `at`). */
  async open(from: number, to: number, at = from): Promise<void> {
    this.from = from;
    this.to = to;
    await this.seek(at);
  }

  async seek(at: number): Promise<void> {
    const moment = Math.max(this.from, Math.min(this.to, Math.round(at)));
    const turn = ++this.#turn;
    this.at = this.#clock = moment;
    this.waiting = true;
    this.failed = null;
    this.#piece = null;
    this.#next = null;
    try {
      const [before, piece] = await Promise.all([
        api.get('/api/v1/replay/at', { query: { at: iso(moment) } }),
        moment < this.to ? this.#read(moment) : Promise.resolve(null),
      ]);
      if (turn !== this.#turn) return;
      this.#alarms.clear();
      this.#incidents.clear();
      this.#indices.clear();
      this.#log = [];
      for (const step of [...before.alarms].reverse()) this.#alarms.set(step.alarm, { ...step, raised: step.time });
      for (const one of before.incidents) this.#incidents.set(one.incident, one);
      this.#move(before.positions, 0, before.positions.time.length, true);
      this.#use(piece);
      this.#publish(true);
    } catch (error) {
      if (turn === this.#turn) {
        this.failed = error;
        this.pause();
      }
    } finally {
      if (turn === this.#turn) this.waiting = false;
    }
  }

  play(): void {
    if (this.playing) return;
    if (this.at >= this.to) {
      void this.seek(this.from).then(() => this.play());
      return;
    }
    this.playing = true;
    this.#last = performance.now();
    requestAnimationFrame(this.#tick);
  }

  pause(): void {
    this.playing = false;
  }

  toggle(): void {
    if (this.playing) this.pause();
    else this.play();
  }

  setSpeed(speed: number): void {
    this.speed = speed;
    this.#next = null; // of another length and thinness
  }

  /** Forwards or back by so many µs. Forwards within what is loaded plays on; else it is read anew. */
  step(by: number): void {
    const to = this.#clock + by;
    if (by > 0 && this.#piece && to < this.#piece.until) this.#advance(to);
    else void this.seek(to);
  }

  close(): void {
    this.#turn++;
    this.pause();
  }

  #read(since: number): Promise<Piece> {
    const { length, step } = pieceOf(this.speed);
    return api.get('/api/v1/replay/piece', { query: { since: iso(since), until: iso(Math.min(this.to, since + length)), step: `${step}s` } });
  }

  #use(piece: Piece | null): void {
    this.#piece = piece;
    this.#cursor = { position: 0, alarm: 0, incident: 0 };
    const gone: number[] = [];
    for (const [key, index] of this.#indices)
      if (this.fleet.time[index]! < this.#clock / 1e6 - STALE_S) {
        gone.push(index);
        this.#indices.delete(key);
      }
    if (gone.length) this.fleet.take({ ...EMPTY, removed: Uint32Array.from(gone) });
  }

  #tick = (now: number): void => {
    if (!this.playing) return;
    const passed = Math.min(now - this.#last, 1000); // a tab that slept does not leap
    this.#last = now;
    if (!this.waiting) {
      const piece = this.#piece;
      const to = Math.min(this.to, this.#clock + passed * 1000 * this.speed);
      if (piece) this.#advance(Math.min(to, piece.until));
      if (this.#clock >= this.to) {
        this.#publish(true);
        this.pause();
        this.ended();
        return;
      }
      if (piece && this.#clock >= piece.until) void this.#turnPage(piece.until);
      else if (piece && !this.#next && piece.until < this.to && piece.until - this.#clock < pieceOf(this.speed).length / 2) this.#next = this.#ahead(piece.until);
    }
    requestAnimationFrame(this.#tick);
  };

  #ahead(since: number): Promise<Piece> {
    const reading = this.#read(since);
    reading.catch(() => undefined); // said when it is needed
    return reading;
  }

  async #turnPage(until: number): Promise<void> {
    const turn = this.#turn;
    this.waiting = true;
    try {
      const piece = await (this.#next ?? this.#read(until));
      if (turn !== this.#turn) return;
      this.#next = null;
      this.#use(piece);
    } catch (error) {
      if (turn !== this.#turn) return;
      this.failed = error;
      this.#next = null;
      this.pause();
    } finally {
      if (turn === this.#turn) this.waiting = false;
    }
  }

  /** Let happen what happened up to a moment of the piece. */
  #advance(to: number): void {
    const piece = this.#piece;
    if (!piece) return;
    this.#clock = to;
    const { positions, alarms, incidents } = piece;
    let end = this.#cursor.position;
    while (end < positions.time.length && positions.time[end]! <= to) end++;
    if (end > this.#cursor.position) this.#move(positions, this.#cursor.position, end, false);
    this.#cursor.position = end;
    for (; this.#cursor.alarm < alarms.length && alarms[this.#cursor.alarm]!.time <= to; this.#cursor.alarm++) this.#step(alarms[this.#cursor.alarm]!);
    for (; this.#cursor.incident < incidents.length && incidents[this.#cursor.incident]!.time <= to; this.#cursor.incident++) this.#happen(incidents[this.#cursor.incident]!);
    this.#publish(false);
  }

  #step(step: Step): void {
    const known = this.#alarms.get(step.alarm);
    if (OPEN.has(step.to_state)) this.#alarms.set(step.alarm, { ...step, raised: step.action === 'raise' || !known ? step.time : known.raised });
    else this.#alarms.delete(step.alarm);
    this.#note({ key: `a${step.id}`, time: step.time, alarm: step });
    this.stepped(step);
  }

  #happen(one: Happened): void {
    if (!LIVE.has(one.to_state)) this.#incidents.delete(one.incident);
    else this.#incidents.set(one.incident, one);
    this.#note({ key: `i${one.id}`, time: one.time, incident: one });
  }

  #note(entry: Entry): void {
    this.#log.push(entry);
    if (this.#log.length > LOGGED * 2) this.#log = this.#log.slice(-LOGGED);
  }

  #move(track: Track, begin: number, end: number, anew: boolean): void {
    const size = end - begin;
    const named: Frame['named'] = [];
    if (anew) this.#indices.clear();
    const frame: Frame = {
      anew, hidden: 0, named, index: new Uint32Array(size), lon: new Int32Array(size), lat: new Int32Array(size), time: new Uint32Array(size), speed: new Uint16Array(size), course: new Uint16Array(size), removed: EMPTY.removed,
    };
    for (let row = 0; row < size; row++) {
      const from = begin + row;
      const key = track.movers[track.mover[from]!]!;
      let index = this.#indices.get(key);
      if (index === undefined) {
        index = anew ? this.#indices.size : this.fleet.size + named.length;
        this.#indices.set(key, index);
        named.push([index, key, '', '', '']);
      }
      frame.index[row] = index;
      frame.lon[row] = Math.round(track.lon[from]! * 1e7);
      frame.lat[row] = Math.round(track.lat[from]! * 1e7);
      frame.time[row] = Math.round(track.time[from]! / 1e6);
      frame.speed[row] = tenths(track.speed_kn[from]);
      frame.course[row] = tenths(track.course_deg[from]);
    }
    this.fleet.take(frame);
    this.moved();
  }

  /** Show it, ten times a second at most. */
  #publish(atOnce: boolean): void {
    const now = performance.now();
    if (!atOnce && now - this.#drawn < GENTLE_MS) return;
    this.#drawn = now;
    this.at = this.#clock;
    this.alarms = [...this.#alarms.values()].sort((a, b) => rank(b) - rank(a) || b.raised - a.raised);
    this.incidents = [...this.#incidents.values()].sort((a, b) => b.severity - a.severity || b.time - a.time);
    this.log = this.#log.slice(-LOGGED).reverse();
  }
}

const EMPTY: Frame = {
  anew: false, hidden: 0, named: [], index: new Uint32Array(0), lon: new Int32Array(0), lat: new Int32Array(0), time: new Uint32Array(0), speed: new Uint16Array(0), course: new Uint16Array(0), removed: new Uint32Array(0),
};
const tenths = (value: number | null | undefined): number => (value === null || value === undefined ? UNKNOWN : Math.round(value * 10));
const rank = (one: Standing): number => (one.to_state === 'acknowledged' ? 0 : 10) + one.severity;
