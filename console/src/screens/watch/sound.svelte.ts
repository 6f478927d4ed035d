/** The sound of a new critical alarm: two short tones, made here; no file. */
import { remembered } from '$lib/preferences.svelte';

const GAP_MS = 2000; // a flood is one sound in two seconds

class Sound {
  #on = remembered('sound', true, (value): value is boolean => typeof value === 'boolean');
  #context: AudioContext | null = null;
  #last = 0;
  /** Whether the browser still waits for a touch before it lets the page sound. */
  blocked = $state(false);

  get on(): boolean {
    return this.#on.value;
  }

  /** Mute or not; the touch that asks for it also lets the browser sound. */
  async set(on: boolean): Promise<void> {
    this.#on.value = on;
    if (on) await this.#ready();
  }

  toggle(): void {
    void this.set(!this.on);
  }

  async #ready(): Promise<AudioContext | null> {
    if (!navigator.userActivation.hasBeenActive) {
      this.blocked = true; // no page sounds before it was touched
      return null;
    }
    this.#context ??= new AudioContext();
    if (this.#context.state === 'suspended') await Promise.race([this.#context.resume(), new Promise((go) => setTimeout(go, 200))]);
    this.blocked = this.#context.state !== 'running';
    return this.blocked ? null : this.#context;
  }

  async ring(): Promise<void> {
    if (!this.on || Date.now() - this.#last < GAP_MS) return;
    this.#last = Date.now();
    const context = await this.#ready();
    if (!context) return;
    for (const [after, pitch] of [[0, 880], [0.22, 660]] as const) {
      const tone = context.createOscillator();
      const level = context.createGain();
      const from = context.currentTime + after;
      tone.frequency.value = pitch;
      level.gain.setValueAtTime(0, from);
      level.gain.linearRampToValueAtTime(0.25, from + 0.02);
      level.gain.exponentialRampToValueAtTime(0.001, from + 0.18);
      tone.connect(level).connect(context.destination);
      tone.start(from);
      tone.stop(from + 0.2);
    }
  }
}

export const sound = new Sound();
