/**
 * Plays a camera's live stream: fragments over a WebSocket into Media Source Extensions; see `web/api/cameras_live.py` for
 * the messages. It stays close to now: what it missed it skips. A stream that breaks is asked for again.
 */
export type Playing = 'connecting' | 'playing' | 'waiting' | 'refused' | 'unplayable';

interface Info {
  mime: string;
  width: number;
  height: number;
}

const BEHIND_S = 2.5;
const KEPT_S = 12;
const QUEUE_MOST = 120;

export class Player {
  #socket: WebSocket | null = null;
  #source: MediaSource | null = null;
  #buffer: SourceBuffer | null = null;
  #queue: Uint8Array<ArrayBuffer>[] = [];
  #mime = '';
  #url = '';
  #again = 0;
  #tries = 0;
  #over = false;
  #seen = () => (document.hidden ? this.#drop() : this.#connect());

  constructor(
    readonly video: HTMLVideoElement,
    readonly name: string,
    readonly tell: (state: Playing) => void,
  ) {
    document.addEventListener('visibilitychange', this.#seen);
    video.addEventListener('playing', this.#playing);
    this.#connect();
  }

  /** End for good. */
  close(): void {
    this.#over = true;
    document.removeEventListener('visibilitychange', this.#seen);
    this.video.removeEventListener('playing', this.#playing);
    this.#drop();
  }

  #playing = () => {
    this.#tries = 0;
    this.tell('playing');
  };

  #connect(): void {
    if (this.#over || this.#socket || document.hidden) return;
    this.tell('connecting');
    const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
    const socket = (this.#socket = new WebSocket(`${scheme}://${location.host}/api/v1/cameras/${encodeURIComponent(this.name)}/live`));
    socket.binaryType = 'arraybuffer';
    socket.onmessage = (event: MessageEvent<ArrayBuffer>) => this.#take(new Uint8Array(event.data));
    socket.onclose = (event) => {
      if (this.#socket !== socket) return;
      this.#drop();
      if (event.code === 4401) return this.tell('refused');
      this.tell('waiting');
      this.#again = window.setTimeout(() => this.#connect(), Math.min(1000 * 2 ** this.#tries++, 15_000));
    };
  }

  #drop(): void {
    window.clearTimeout(this.#again);
    const socket = this.#socket;
    this.#socket = null;
    if (socket) socket.onclose = null;
    socket?.close();
    this.#forget();
  }

  #forget(): void {
    this.#queue = [];
    this.#buffer = null;
    this.#source = null;
    if (this.#url) URL.revokeObjectURL(this.#url);
    this.#url = '';
  }

  #take(message: Uint8Array<ArrayBuffer>): void {
    const kind = message[0];
    const content = message.subarray(1);
    if (kind === 0) {
      const info = JSON.parse(new TextDecoder().decode(content)) as Info;
      this.#mime = info.mime;
      if (!info.mime || typeof MediaSource === 'undefined' || !MediaSource.isTypeSupported(info.mime)) {
        this.close();
        this.tell('unplayable');
      }
    } else if (kind === 1) this.#begin(content);
    else if (this.#source) {
      if (this.#queue.length > QUEUE_MOST) this.#queue = this.#queue.slice(0, 1); // a page in the background: only the header
      this.#queue.push(content);
      this.#pump();
    }
  }

  /** A new stream, or the same camera with another picture: a new source. */
  #begin(header: Uint8Array<ArrayBuffer>): void {
    this.#forget();
    const source = (this.#source = new MediaSource());
    this.#queue = [header];
    this.#url = URL.createObjectURL(source);
    source.addEventListener('sourceopen', () => {
      if (this.#source !== source) return;
      this.#buffer = source.addSourceBuffer(this.#mime);
      this.#buffer.addEventListener('updateend', () => this.#pump());
      this.#pump();
    });
    this.video.src = this.#url;
    void this.video.play().catch(() => undefined); // muted video may play; where it may not, its controls are there
  }

  #pump(): void {
    const buffer = this.#buffer;
    if (!buffer || buffer.updating || this.#source?.readyState !== 'open') return;
    this.#follow(buffer);
    try {
      const ranges = buffer.buffered;
      if (ranges.length && this.video.currentTime - ranges.start(0) > KEPT_S * 2) buffer.remove(ranges.start(0), this.video.currentTime - KEPT_S);
      else {
        const next = this.#queue.shift();
        if (next) buffer.appendBuffer(next);
      }
    } catch {
      this.#drop(); // a buffer that takes no more: begin anew
      this.#connect();
    }
  }

  /** Stay near the newest picture, over gaps. */
  #follow(buffer: SourceBuffer): void {
    const ranges = buffer.buffered;
    if (!ranges.length) return;
    const begin = ranges.start(ranges.length - 1);
    const end = ranges.end(ranges.length - 1);
    const now = this.video.currentTime;
    if (now < begin || end - now > BEHIND_S) this.video.currentTime = Math.max(begin, end - 0.5);
    if (this.video.paused && !this.video.dataset['held']) void this.video.play().catch(() => undefined);
  }
}
