/** What a search finds: screens, incidents, and what the centre knows by name. */
import { api, ApiError, send } from '$lib/api/client';
import { fold } from '$lib/format';
import { t, tOr } from '$lib/i18n.svelte';
import { go, route, screens } from '$lib/router';
import { selection, type SelectedKind } from '$lib/selection.svelte';
import { session } from '$lib/session.svelte';

export interface Hit {
  kind: 'screen' | 'incident' | 'place' | 'thing' | 'mover';
  id: string;
  title: string;
  note: string;
}

const NUMBER = /^(?:#|sc-?|vv-?)?\s*(\d{1,9})$/i;
const MOST = 6;

/** Number of an incident, as `#12`, `SC-12` or `12`; null where the text is none. */
export const incidentNumber = (text: string): string | null => NUMBER.exec(text.trim())?.[1] ?? null;

/** Screens whose name holds the text; at once, nothing is asked. */
export function findScreens(text: string): Hit[] {
  const wanted = fold(text.trim());
  if (!wanted) return [];
  return screens
    .filter((one) => !one.hidden && session.can(one.can) && fold(t(`${one.id}:title`)).includes(wanted))
    .map((one) => ({ kind: 'screen', id: Object.keys(one.routes)[0] ?? '/', title: t(`${one.id}:title`), note: '' }));
}

async function findIncidents(text: string, signal: AbortSignal): Promise<Hit[]> {
  if (!session.can('incident.read')) return [];
  const number = incidentNumber(text);
  const named = number
    ? api.get('/api/v1/incidents/{number}', { path: { number }, signal }).then(
        (answer) => [answer.incident],
        (error: unknown) => {
          if (error instanceof ApiError && (error.status === 404 || error.status === 422)) return [];
          throw error;
        },
      )
    : Promise.resolve([]);
  const told = text.trim().length >= 3 ? api.get('/api/v1/incidents', { query: { text: text.trim(), limit: MOST, sort: '-changed' }, signal }).then((page) => page.items) : Promise.resolve([]);
  const rows = [...(await named), ...(await told)];
  return [...new Map(rows.map((one) => [one.id, one])).values()].map((one) => ({ kind: 'incident', id: String(one.id), title: `#${one.id} ${one.title}`, note: '' }));
}

async function findNamed(text: string, signal: AbortSignal): Promise<Hit[]> {
  if (!session.can('thing.read')) return [];
  const found = (await (await send('GET', '/api/v1/search', { query: { q: text, limit: MOST }, signal })).json()) as { items: Hit[] };
  return found.items.map((hit) => ({ ...hit, note: hit.kind === 'place' ? (hit.note && t('search.former', { name: hit.note })) : tOr(`kind.${hit.note}`, hit.note) }));
}

/** Incidents first: a number is meant as one. */
export async function find(text: string, signal: AbortSignal): Promise<Hit[]> {
  const [incidents, named] = await Promise.all([findIncidents(text, signal), findNamed(text, signal)]);
  return [...incidents, ...named];
}

/** Open what was found: a screen, an incident's page; the rest is selected, on the map where the screen shows none. */
export function open(hit: Hit): void {
  if (hit.kind === 'screen') go(hit.id);
  else if (hit.kind === 'incident') {
    selection.select('incident', hit.id);
    go(`/incidents/${hit.id}`);
  } else {
    selection.select(hit.kind satisfies SelectedKind, hit.id);
    if (route.pathname !== '/' && route.pathname !== '/map') go('/map');
    else if (route.pathname === '/' && matchMedia('(max-width: 720px)').matches) go('/map');
  }
}
