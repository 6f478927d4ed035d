/** Kinds of report, read once. */
import { api } from '$lib/api/client';
import { said } from '$lib/i18n.svelte';

import type { Service } from './model';

class Services {
  items = $state.raw<readonly Service[]>([]);
  #asked = false;

  need(): void {
    if (this.#asked) return;
    this.#asked = true;
    api.get('/api/v1/reports/services').then(
      (found) => (this.items = found as unknown as Service[]),
      () => (this.#asked = false), // codes stand in; the next screen asks again
    );
  }

  of(code: string): string {
    return said(this.items.find((one) => one.code === code)?.name) || code;
  }
}

export const services = new Services();
