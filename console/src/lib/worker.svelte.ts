/** The service worker: put in where somebody works in the field, and what is said when there is a newer console. */
import { toast as sonner } from 'svelte-sonner';

import { t } from './i18n.svelte';

interface InstallPrompt extends Event {
  prompt: () => Promise<unknown>;
}

class Worker {
  /** Whether a newer console waits. */
  newer = $state(false);
  /** Whether the browser offers to install the console. */
  installable = $state.raw<InstallPrompt | null>(null);
  /** Whether the console opens without a line. */
  ready = $state(false);
  #begun = false;

  constructor() {
    window.addEventListener('beforeinstallprompt', (event) => {
      event.preventDefault();
      this.installable = event as InstallPrompt;
    });
    window.addEventListener('appinstalled', () => (this.installable = null));
  }

  /** Whether this is a device for the field: a touch screen, or the installed console. */
  get wanted(): boolean {
    return matchMedia('(display-mode: standalone), (pointer: coarse)').matches;
  }

  /** Put it in. Without HTTPS browsers allow none: then the console needs a line. */
  async start(): Promise<void> {
    if (this.#begun || !('serviceWorker' in navigator)) return;
    this.#begun = true;
    try {
      const registration = await navigator.serviceWorker.register('/sw.js', { scope: '/' });
      const look = () => {
        const waiting = registration.waiting;
        if (waiting && navigator.serviceWorker.controller) this.#announce(waiting);
      };
      registration.addEventListener('updatefound', () => registration.installing?.addEventListener('statechange', look));
      look();
      await navigator.serviceWorker.ready;
      this.ready = true;
      window.setInterval(() => void registration.update().catch(() => undefined), 3_600_000);
    } catch {
      this.#begun = false;
    }
  }

  async install(): Promise<void> {
    await this.installable?.prompt();
    this.installable = null;
  }

  #announce(waiting: ServiceWorker): void {
    if (this.newer) return;
    this.newer = true;
    const reload = () => {
      navigator.serviceWorker.addEventListener('controllerchange', () => location.reload(), { once: true });
      waiting.postMessage('go');
    };
    sonner(t('newer.text'), { duration: Infinity, action: { label: t('newer.reload'), onClick: reload } });
  }
}

export const worker = new Worker();
