/** Whom a step of a chain tells, in words. */
import { t, tOr } from '$lib/i18n.svelte';
import { names } from '$lib/incidents/names.svelte';
import { people } from '$lib/office/people.svelte';

import { toOf } from './model';

export const unitWords = (unit: string): string => (unit.startsWith('$') ? t(`duty:to.${unit.slice(1)}`) : names.of(unit));

export function spokenTo(text: string): string {
  const to = toOf(text);
  if (to.kind === 'person') return to.login === '$owner' ? t('duty:to.owner') : people.of(to.login);
  if (to.kind === 'channel') return to.address;
  const role = to.role ? tOr(`role.${to.role}`, to.role) : t('duty:any_role');
  return t(`duty:to.${to.kind}`, { role, unit: unitWords(to.unit) });
}
