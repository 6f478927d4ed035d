/** What the map reads of the centre besides the streams: queries that several maps share. */
import type { FeatureCollection } from 'geojson';

import { api, send } from '../api/client';
import type { Basemap } from './base';
import type { IncidentRow, ThingRow } from './marks';

export interface LayerInfo {
  id: string;
  domain: string;
  title: Record<string, string>;
  colour: string;
}
export interface MapInfo {
  basemap: Basemap;
  layers: LayerInfo[];
}

type Page<T> = { items: T[]; next: string | null };
const MOST = 10_000;

async function all<T>(path: string, query: Record<string, string | number | readonly string[]>): Promise<T[]> {
  const found: T[] = [];
  for (let after: string | null = null; ; ) {
    const page: Page<T> = (await (await send('GET', path, { query: { ...query, after } })).json()) as Page<T>;
    found.push(...page.items);
    after = page.next;
    if (after === null) return found;
  }
}

export const readInfo = async (): Promise<MapInfo> => (await send('GET', '/api/v1/map')).json() as Promise<MapInfo>;
export const readCommunes = async (): Promise<FeatureCollection> => (await send('GET', '/api/v1/places.geojson')).json() as Promise<FeatureCollection>;
export const readThings = (): Promise<ThingRow[]> => all<ThingRow>('/api/v1/things', { limit: MOST });
export const readLayer = async (id: string): Promise<FeatureCollection> =>
  (await send('GET', '/api/v1/map/layers/{id}', { path: { id } })).json() as Promise<FeatureCollection>;
/** Those not yet closed. */
export const readIncidents = (): Promise<IncidentRow[]> =>
  all<IncidentRow>('/api/v1/incidents', { limit: 500, state: ['open', 'acknowledged', 'in_progress'] });

export interface MoverRow {
  key: string;
  name: string;
  kind: string;
  domain: string;
  latest: { time: number; lon: number; lat: number; speed_kn: number | null; course_deg: number | null } | null;
}
export const readMover = async (key: string): Promise<MoverRow | undefined> =>
  (await all<MoverRow>('/api/v1/movers', { source: [key], limit: 1 }))[0];
export const readIncident = async (number: string): Promise<IncidentRow> => (await api.get('/api/v1/incidents/{number}', { path: { number } })).incident;
