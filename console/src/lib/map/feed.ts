/** The line on which the movers in view come. Opened again after a drop; closed while the page is hidden. */
import { session } from '../session.svelte';
import { Fleet } from './fleet';
import { readFrame } from './frame';

export type Box = [number, number, number, number];
const SOON_MS = 250;
const AGAIN_MS = 2000;
const HIDDEN_MS = 10_000;

export class Feed {
  readonly fleet: Fleet;
  #socket: WebSocket | null = null;
  #box: Box | null = null;
  #soon = 0;
  #again = 0;
  #hidden = 0;
  #closed = false;
  #taken: (fleet: Fleet) => void;
  #told: (live: boolean) => void;

  /** `taken` is called after each frame, `told` when the line comes and goes. */
  constructor(fleet: Fleet, taken: (fleet: Fleet) => void, told: (live: boolean) => void = () => undefined) {
    this.fleet = fleet;
    this.#taken = taken;
    this.#told = told;
    document.addEventListener('visibilitychange', this.#turn);
  }

  /** Movers in this box are wanted from now on. */
  look(box: Box): void {
    this.#box = box;
    window.clearTimeout(this.#soon);
    this.#soon = window.setTimeout(() => {
      if (this.#socket?.readyState === WebSocket.OPEN) this.#ask();
      else if (!this.#socket && !document.hidden) this.#open();
    }, SOON_MS);
  }

  close(): void {
    this.#closed = true;
    document.removeEventListener('visibilitychange', this.#turn);
    for (const timer of [this.#soon, this.#again, this.#hidden]) window.clearTimeout(timer);
    this.#socket?.close();
    this.#socket = null;
  }

  #ask(): void {
    if (this.#box) this.#socket?.send(JSON.stringify({ bbox: this.#box }));
  }

  #open(): void {
    window.clearTimeout(this.#again);
    const socket = (this.#socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/api/v1/movers/live`));
    socket.binaryType = 'arraybuffer';
    let opened = false;
    socket.onopen = () => {
      opened = true;
      this.#ask();
      this.#told(true);
    };
    socket.onmessage = (event: MessageEvent<ArrayBuffer>) => {
      if (socket !== this.#socket) return;
      this.fleet.take(readFrame(event.data));
      this.#taken(this.fleet);
    };
    socket.onclose = (event) => {
      if (socket !== this.#socket || this.#closed) return;
      this.#socket = null;
      this.#told(false);
      // Refused, or over: this shows the sign-in form where it is the session that ended.
      if (!opened || event.code === 4401) void session.verify();
      this.#again = window.setTimeout(() => !document.hidden && this.#open(), AGAIN_MS);
    };
  }

  /** A hidden page needs no positions; what it shows on return is all new. */
  #turn = (): void => {
    window.clearTimeout(this.#hidden);
    if (document.hidden) {
      this.#hidden = window.setTimeout(() => {
        const socket = this.#socket;
        this.#socket = null;
        socket?.close();
      }, HIDDEN_MS);
    } else if (!this.#socket && this.#box && !this.#closed) this.#open();
  };
}
