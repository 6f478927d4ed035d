/** What belongs to an incident, in words and with the address it opens. */
import { alarms } from '$lib/alarms.svelte';
import { said, t, tOr } from '$lib/i18n.svelte';
import type { IncidentLink } from '$lib/incidents/model';

/** A condition by the name its rule gave it. */
export const conditionName = (condition: string): string => said(alarms.titles.get(condition)) || tOr(`condition.${condition}`, condition);

const detailOf = (link: IncidentLink) => link.detail as Record<string, unknown>;

export function linkTitle(link: IncidentLink): string {
  if (link.kind === 'alarm' && detailOf(link)['condition']) return `${conditionName(String(detailOf(link)['condition']))} · ${String(detailOf(link)['source'] ?? '')}`;
  return link.title || link.ref;
}

export const linkKind = (link: IncidentLink): string => t(`incidents:link.${link.kind}`);

/** Where it is shown in the console; '' where nowhere. */
export function linkAddress(link: IncidentLink): string {
  const ref = link.ref.split('@')[0] ?? '';
  switch (link.kind) {
    case 'incident': return `/incidents/${link.ref}`;
    case 'report': return `/inbox/${link.ref}`;
    case 'warning': return `/warnings/${link.ref}`;
    case 'track': return `/movers/${encodeURIComponent(ref)}`;
    case 'observation': return `/things/${encodeURIComponent(ref.split('/')[0] ?? ref)}`;
    default: return '';
  }
}
