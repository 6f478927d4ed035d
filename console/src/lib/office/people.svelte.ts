/** People of the centre, read once: who may be put on duty, and their names. */
import { api, type Answer } from '../api/client';

export type Person = Answer<'/api/v1/people'>['items'][number];

class People {
  items = $state.raw<readonly Person[]>([]);
  #names = $derived(new Map(this.items.map((one) => [one.login, one.name])));
  #asked = false;

  need(): void {
    if (this.#asked) return;
    this.#asked = true;
    void this.#read();
  }

  /** The name they are known by; the login where there is none. */
  of(login: string): string {
    return this.#names.get(login) || login;
  }

  /** Those who can sign in, for a choice. */
  get choices(): { value: string; label: string }[] {
    return this.items.filter((one) => !one.disabled).map((one) => ({ value: one.login, label: one.name && one.name !== one.login ? `${one.name} (${one.login})` : one.login }));
  }

  async #read(): Promise<void> {
    try {
      this.items = (await api.get('/api/v1/people', { query: { limit: 500 } })).items;
    } catch {
      this.#asked = false; // logins stand in; the next screen asks again
    }
  }
}

export const people = new People();
export const ROLES = ['operator', 'shift_lead', 'leader', 'commune_official', 'domain_expert'] as const;
