/** Units, roles and domains as the screens of people need them. */
import { createQuery } from '@tanstack/svelte-query';

import { api, type Answer } from '$lib/api/client';
import { t, tOr } from '$lib/i18n.svelte';

export type Person = Answer<'/api/v1/people/{login}'>;
export type Unit = Answer<'/api/v1/units'>['items'][number];

export const PROVINCE = '82';

export const units = () => createQuery(() => ({ queryKey: ['units'], queryFn: async () => (await api.get('/api/v1/units')).items, staleTime: 60_000 }));
export const roles = () => createQuery(() => ({ queryKey: ['policy', 'roles'], queryFn: async () => (await api.get('/api/v1/policy/roles')).items, staleTime: Infinity }));

export const roleName = (role: string): string => tOr(`role.${role}`, role);
export const domainName = (domain: string): string => (domain ? tOr(`domain.${domain}`, domain) : t('people:all_domains'));

/** A unit's name, its code where the name is not known. */
export function unitName(code: string, known: readonly Unit[] | undefined): string {
  if (code === '' || code === PROVINCE) return t('people:province');
  return known?.find((one) => one.code === code)?.name ?? code;
}

/** The last moment of a day as a date field gives it, in the province's zone; null where none is given. */
export const endOf = (date: string): string | null => (date ? `${date}T23:59:59+07:00` : null);
