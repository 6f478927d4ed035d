/** Acts on incidents from a list, and what is said of them afterwards. */
import { api } from '../api/client';
import { t } from '../i18n.svelte';
import { session } from '../session.svelte';
import { because, toast } from '../toast';
import type { IncidentList } from './list.svelte';
import type { Incident, Move } from './model';

/** Do something to one. Without a version: for lists, where nobody read what stands behind. */
export const move = (number: number, action: Move, body: { comment?: string; version?: number } = {}) =>
  api.post('/api/v1/incidents/{number}/{action}', body, { path: { number, action } });

/** Acknowledge; shown at once, and taken back where the centre refuses. */
export async function acknowledge(list: IncidentList, one: Incident): Promise<void> {
  list.patch(one.id, { state: 'acknowledged' });
  try {
    await move(one.id, 'acknowledge', { version: one.version });
  } catch (error) {
    list.patch(one.id, { state: one.state });
    toast.bad(error);
    void list.load();
  }
}

export async function takeOn(list: IncidentList, one: Incident): Promise<void> {
  const owner = session.me?.name ?? '';
  list.patch(one.id, { owner });
  try {
    await api.post('/api/v1/incidents/{number}/assign', { owner, version: one.version }, { path: { number: one.id } });
  } catch (error) {
    list.patch(one.id, { owner: one.owner });
    toast.bad(error);
    void list.load();
  }
}

/** One act on several, four at a time; says how many went well, and why the others did not. */
export async function onAll(chosen: readonly Incident[], work: (one: Incident) => Promise<unknown>): Promise<void> {
  const waiting = [...chosen];
  const refused: string[] = [];
  const worker = async () => {
    for (let one = waiting.shift(); one; one = waiting.shift()) {
      try {
        await work(one);
      } catch (error) {
        refused.push(`${one.id}: ${because(error)}`);
      }
    }
  };
  await Promise.all([worker(), worker(), worker(), worker()]);
  const done = chosen.length - refused.length;
  if (done) toast.good(t('incidents:bulk.done', { number: done }));
  if (refused.length) toast.bad(`${t('incidents:bulk.refused', { number: refused.length })} ${refused.slice(0, 3).join(' · ')}`);
}
