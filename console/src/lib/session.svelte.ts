/** Who is signed in, and what they may do. */
import { ApiError, onSessionNew, onSessionOver, send, type Answer } from './api/client';
import { forgetRemembered } from './preferences.svelte';

export type Me = Answer<'/api/v1/session'>;

const KEPT = 'thap-me';
const OWED = 'thap-sign-out';
const KEPT_MS = 7 * 86_400_000;

/** Who was signed in here last, for opening without a line; null where that is too long ago. */
function lastMe(): Me | null {
  try {
    const kept = JSON.parse(localStorage.getItem(KEPT) ?? 'null') as { me: Me; at: number } | null;
    return kept && Date.now() - kept.at < KEPT_MS ? kept.me : null;
  } catch {
    return null;
  }
}

function keepMe(me: Me | null): void {
  try {
    if (me) localStorage.setItem(KEPT, JSON.stringify({ me, at: Date.now() }));
    else localStorage.removeItem(KEPT);
  } catch {
    // storage may be forbidden
  }
}

/** Whether a session is still to be ended, because there was no line when its person signed out. */
function owed(set?: boolean): boolean {
  try {
    if (set) localStorage.setItem(OWED, '1');
    else if (set === false) localStorage.removeItem(OWED);
    return localStorage.getItem(OWED) !== null;
  } catch {
    return false;
  }
}

class Session {
  me = $state<Me | null>(null);
  /** Whether the first look has been taken. */
  known = $state(false);
  /** Whether a session ended under somebody's hands: the sign-in form lies over the page, which stays. */
  over = $state(false);
  /** Issuers by which one may sign in. */
  issuers = $state<{ name: string; title: Record<string, string> }[]>([]);
  /** Whether the page was opened without a line: who is signed in is what this browser remembers. */
  unverified = $state(false);
  /** What is to be done before a person leaves, such as forgetting what was kept for them. */
  readonly leaving = new Set<() => Promise<unknown>>();
  #waiting: (() => void)[] = [];
  #actions = $derived(new Set<string>(this.me?.actions ?? []));

  constructor() {
    onSessionOver(() => {
      if (!this.me) return Promise.reject(new ApiError('unauthenticated', 'nobody is signed in', 401));
      this.over = true;
      return new Promise((resolve) => this.#waiting.push(resolve));
    });
  }

  /** Take the first look. */
  async start(): Promise<void> {
    try {
      if (owed()) {
        await send('DELETE', '/session', { signIn: false }).catch((error: unknown) => {
          if (!(error instanceof ApiError) || error.status !== 401) throw error;
        });
        owed(false);
      }
      const said = (await (await send('GET', '/session', { signIn: false })).json()) as { issuers: Session['issuers'] };
      this.issuers = said.issuers;
      await this.load();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 401) keepMe(null);
      else {
        const known = error.offline || error.status >= 502 ? lastMe() : null;
        if (!known) throw error;
        this.me = known;
        this.unverified = true;
      }
    } finally {
      this.known = true;
    }
  }

  /** Read again who is signed in; called after each sign-in. What waited for it goes on. */
  async load(): Promise<void> {
    const before = this.me?.name;
    const me = (await (await send('GET', '/api/v1/session', { signIn: false })).json()) as Me;
    if (before !== undefined && before !== me.name) {
      location.assign('/'); // another person: nothing of the one before stays on the page
      return;
    }
    this.me = me;
    onSessionNew();
    this.over = false;
    this.unverified = false;
    keepMe(me);
    for (const go of this.#waiting.splice(0)) go();
  }

  /** Ask the centre whether the session still holds; where it is over, the sign-in form is shown. */
  async verify(): Promise<void> {
    if (!this.me || this.over) return;
    try {
      await this.load();
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) this.over = true;
    }
  }

  async signOut(): Promise<void> {
    for (const leave of this.leaving) await leave().catch(() => undefined);
    keepMe(null);
    forgetRemembered('draft-');
    await send('DELETE', '/session', { signIn: false }).catch((error: unknown) => owed(!(error instanceof ApiError) || error.status !== 401));
    location.assign('/');
  }

  /** Whether one of the person's roles holds the action somewhere (see `thap.kernel.policy`); '' always. */
  can(action: string): boolean {
    return action === '' || this.#actions.has(action);
  }
}

export const session = new Session();
