/** The domains there are, as the centre tells; remembered, so that a phone without a line offers them too. */
import { createQuery } from '@tanstack/svelte-query';

import { api, type Answer } from './api/client';
import { said, tOr } from './i18n.svelte';
import { remembered } from './preferences.svelte';

type Domains = Answer<'/api/v1/domains'>;

const kept = remembered<Domains['items']>('domains', [], (value): value is Domains['items'] => Array.isArray(value));

export const domains = () =>
  createQuery(() => ({
    queryKey: ['domains'],
    queryFn: async (): Promise<Domains> => {
      const found = await api.get('/api/v1/domains');
      kept.value = found.items;
      return found;
    },
    staleTime: 300_000,
    placeholderData: kept.value.length ? { items: kept.value } : undefined,
  }));

export const domainTitle = (one: Domains['items'][number]): string => tOr(`domain.${one.name}`, said(one.title) || one.name);
