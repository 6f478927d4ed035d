/** The way to the centre: calls, and the event stream that picks up where it was after a break. */

/** An answer that was no success; `code` is the centre's. */
export class Refused extends Error {
  constructor(code) {
    super(code);
    this.code = code;
  }
}

/** Call the API; gives the JSON of the answer. Throws Refused, or TypeError where nothing answers. */
export async function call(method, path, body) {
  const options = { method, headers: {} };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  const answer = await fetch(path, options);
  if (answer.status === 204) return null;
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(said.error?.code ?? "other");
  return said;
}

const QUIET_MS = 6000;  // heartbeats of stages come each second

/** Events of the centre, for as long as the page is open. */
export class Stream extends EventTarget {
  state = "connecting";
  heard = 0;
  #kinds;
  #last;
  #source = null;
  #retry = 0;

  constructor(kinds) {
    super();
    this.#kinds = kinds;
    setInterval(() => this.#watch(), 1000);
  }

  /** Begin after the event with this id. */
  open(last) {
    this.#last = last;
    this.#connect();
  }

  #connect() {
    clearTimeout(this.#retry);
    this.#source?.close();
    const query = new URLSearchParams({ kinds: this.#kinds.join(","), last_event_id: this.#last });
    const source = this.#source = new EventSource(`/api/v1/stream?${query}`);
    for (const kind of this.#kinds) {
      source.addEventListener(kind, (event) => {
        this.#last = event.lastEventId || this.#last;
        this.#heardNow();
        this.dispatchEvent(new CustomEvent(kind, { detail: JSON.parse(event.data) }));
      });
    }
    source.onopen = () => this.#heardNow();
    source.onerror = () => {
      this.#become("lost");
      // A refusal ends an EventSource for good; a broken connection it mends itself.
      if (source.readyState === EventSource.CLOSED) this.#retry = setTimeout(() => this.#connect(), 2000);
    };
  }

  #heardNow() {
    this.heard = Date.now();
    this.#become("live");
  }

  #watch() {
    if (this.state === "live" && Date.now() - this.heard > QUIET_MS) {
      this.#become("lost");
      this.#connect();
    }
  }

  #become(state) {
    if (this.state === state) return;
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }
}
