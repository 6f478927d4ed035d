/** Names of communes and offices, read once: `unitName('29869')` is the commune's, '' the province's. */
import { api } from '../api/client';
import { t, tOr } from '../i18n.svelte';

export interface Office {
  code: string;
  name: string;
  kind: 'province' | 'department' | 'commune';
}

const PROVINCE = '82';

class Names {
  communes = $state.raw<readonly { code: string; title: string; lon: number; lat: number }[]>([]);
  offices = $state.raw<readonly Office[]>([]);
  #byCode = $derived(new Map<string, string>([...this.offices.map((one) => [one.code, one.name] as const), ...this.communes.map((one) => [one.code, one.title] as const)]));
  #asked = false;

  /** Read them, where that was not done yet. */
  need(): void {
    if (this.#asked) return;
    this.#asked = true;
    void this.#read();
  }

  of(code: string): string {
    if (code === '' || code === PROVINCE) return t('incidents:province');
    return this.#byCode.get(code) ?? code;
  }

  async #read(): Promise<void> {
    try {
      const [places, units] = await Promise.all([api.get('/api/v1/places', { query: { limit: 500 } }), api.get('/api/v1/units')]);
      this.communes = places;
      this.offices = units.items as Office[];
    } catch {
      this.#asked = false; // codes stand in; the next screen asks again
    }
  }
}

export const names = new Names();
export const domainName = (domain: string): string => (domain ? tOr(`domain.${domain}`, domain) : t('incidents:domain.none'));
