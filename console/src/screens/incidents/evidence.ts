/** What can be drawn of an incident's evidence: series to chart, tracks and points for the map. */
import type { Feature, FeatureCollection } from 'geojson';

import { api } from '$lib/api/client';
import { DAY, HOUR, nowUs } from '$lib/format';
import type { Incident, IncidentLink } from '$lib/incidents/model';

export interface Reach {
  key: string;
  from: number;
  to: number;
}
interface LinkedAlarm {
  source: string;
  domain: string;
  raised: number;
  cleared: number | null;
}

/** What the centre says of itself is measured by nothing. */
const measured = (one: LinkedAlarm): boolean => one.domain !== 'system';

const BEFORE = 3 * HOUR;
const reach = (key: string, begin: number, end: number): Reach => ({ key, from: begin - BEFORE, to: Math.min(end + HOUR, begin + 2 * DAY, nowUs()) });

/** `key@begin-end` in µs, as links of tracks and observations are written; without a time the incident's own. */
export function reachOf(ref: string, incident: Incident): Reach {
  const [key = ref, span = ''] = ref.split('@');
  const [begin, end] = span.split('-').map(Number);
  if (begin && Number.isFinite(begin)) return { key, from: begin, to: end && end > begin ? end : begin + HOUR };
  return reach(key, incident.opened, incident.resolved ?? nowUs());
}

const merged = (all: readonly Reach[]): Reach[] => {
  const found = new Map<string, Reach>();
  for (const one of all) {
    const before = found.get(one.key);
    found.set(one.key, before ? { key: one.key, from: Math.min(before.from, one.from), to: Math.max(before.to, one.to) } : one);
  }
  return [...found.values()];
};

/** Datastreams to draw: linked ones, and those whose alarms are linked (a datastream's key has a slash). */
export const seriesOf = (incident: Incident, links: readonly IncidentLink[], alarms: readonly LinkedAlarm[]): Reach[] =>
  merged([
    ...links.filter((link) => link.kind === 'observation' && link.ref.includes('/')).map((link) => reachOf(link.ref, incident)),
    ...alarms.filter((one) => measured(one) && one.source.includes('/')).map((one) => reach(one.source, one.raised, one.cleared ?? nowUs())),
  ]);

/** Movers to draw the tracks of: linked ones, and those whose alarms are linked. */
export const tracksOf = (incident: Incident, links: readonly IncidentLink[], alarms: readonly LinkedAlarm[]): Reach[] =>
  merged([
    ...links.filter((link) => link.kind === 'track').map((link) => reachOf(link.ref, incident)),
    ...alarms.filter((one) => measured(one) && !one.source.includes('/')).map((one) => reach(one.source, one.raised, one.cleared ?? nowUs())),
  ]);

/** The track as lines; nothing where it is no mover, or lies where the caller may not see it. */
export async function readTrack(track: Reach): Promise<Feature[]> {
  try {
    const query = { since: iso(track.from), until: iso(track.to), points: 3000 };
    const answer = (await api.get('/api/v1/movers/{mover}/positions', { path: { mover: track.key }, query })) as unknown as { items: { lon: number; lat: number }[] };
    const coordinates = answer.items.map((one) => [one.lon, one.lat]);
    return coordinates.length > 1 ? [{ type: 'Feature', properties: { title: track.key }, geometry: { type: 'LineString', coordinates } }] : [];
  } catch {
    return [];
  }
}

export const iso = (us: number): string => new Date(us / 1000).toISOString();

export const collection = (features: Feature[]): FeatureCollection => ({ type: 'FeatureCollection', features });
