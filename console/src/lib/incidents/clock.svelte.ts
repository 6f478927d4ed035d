/** How much counted time is left until a deadline, as it runs. */
import { createQuery } from '@tanstack/svelte-query';

import { api } from '../api/client';
import { tick } from '../tick.svelte';
import { leftUntil } from './counted';

/** The working calendar from now on; read once in a while. */
export function useCalendar() {
  const query = createQuery(() => ({ queryKey: ['calendar'], queryFn: () => api.get('/api/v1/calendar'), staleTime: 3_600_000 }));
  return {
    left: (due: number, working: boolean) => leftUntil(due, tick.second, working, query.data?.ahead ?? null),
  };
}
