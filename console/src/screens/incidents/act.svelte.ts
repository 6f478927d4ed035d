/** One incident on the screen: read, kept up by the stream, and acted on. */
import { createQuery, useQueryClient } from '@tanstack/svelte-query';

import { api, ApiError } from '$lib/api/client';
import { confirm } from '$lib/confirm.svelte';
import { t } from '$lib/i18n.svelte';
import type { IncidentTold, Move } from '$lib/incidents/model';
import { stream } from '$lib/stream.svelte';
import { because, toast } from '$lib/toast';

export function useIncident(number: () => number) {
  const client = useQueryClient();
  const whole = createQuery(() => ({
    queryKey: ['incident', number()],
    queryFn: () => api.get('/api/v1/incidents/{number}', { path: { number: number() } }),
  }));
  const tasks = createQuery(() => ({
    queryKey: ['incident', number(), 'tasks'],
    queryFn: () => api.get('/api/v1/tasks', { query: { incident: number(), all: true, limit: 200 } }),
  }));
  const alarms = createQuery(() => ({
    queryKey: ['incident', number(), 'alarms'],
    queryFn: () => api.get('/api/v1/incidents/{number}/alarms', { path: { number: number() } }),
  }));
  const people = createQuery(() => ({
    queryKey: ['incident', number(), 'people'],
    queryFn: () => api.get('/api/v1/incidents/{number}/people', { path: { number: number() } }),
    staleTime: 60_000,
  }));

  const refresh = () => client.invalidateQueries({ queryKey: ['incident', number()] });
  let soon = 0;
  const hear = () => {
    if (!soon) soon = window.setTimeout(() => ((soon = 0), void refresh()), 250);
  };
  $effect(() => {
    const stops = [
      stream.on<IncidentTold>('incident', (told) => told.id === number() && hear()),
      stream.on<{ alarm: number }>('alarm', (event) => alarms.data?.items.some((one) => one.id === event.alarm) && hear()),
      stream.onResumed(hear),
    ];
    return () => {
      for (const stop of stops) stop();
      window.clearTimeout(soon);
      soon = 0;
    };
  });

  /**
   * Do something to it as the person saw it. Where somebody was faster, what changed is said, the page shows it, and
   * the person is asked whether they still want to.
   */
  async function act(what: string, work: (version: number) => Promise<unknown>): Promise<boolean> {
    try {
      await work(whole.data?.incident.version ?? 0);
      await refresh();
      return true;
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 409) {
        toast.bad(error);
        await refresh();
        return false;
      }
      await refresh();
      const still = await confirm({ title: t('incidents:race.title', { what }), text: because(error), yes: t('incidents:race.again') });
      return still ? act(what, work) : false;
    }
  }

  const moveOn = (move: Move, comment = '', withAlarms = false) =>
    act(t(`incidents:act.${move}`), (version) =>
      api.post('/api/v1/incidents/{number}/{action}', { comment, version, ...(withAlarms ? { alarms: true } : {}) }, { path: { number: number(), action: move } }));

  const assign = (to: { unit?: string; owner?: string; comment?: string }, version: number) =>
    api.post('/api/v1/incidents/{number}/assign', { ...to, version }, { path: { number: number() } });

  return { whole, tasks, alarms, people, refresh, act, moveOn, assign, may: (action: string) => whole.data?.may.includes(action) ?? false, get number() { return number(); } };
}

export type Work = ReturnType<typeof useIncident>;
