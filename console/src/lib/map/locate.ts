/** Where something that is selected lies. */
import type { FeatureCollection } from 'geojson';

import { alarms } from '../alarms.svelte';
import { ApiError } from '../api/client';
import type { Selected } from '../selection.svelte';
import type { IncidentRow, ThingRow } from './marks';
import { readIncident, readMover } from './reading';
import type { Place } from './types';

const at = (row: { lon: number | null; lat: number | null } | null | undefined): Place | null =>
  row && row.lon !== null && row.lat !== null ? { lon: row.lon, lat: row.lat } : null;

/** Its place; null where it has none, or nothing is selected, or it may not be seen. */
export async function locate(
  chosen: Selected | null,
  things: ReadonlyMap<string, ThingRow>,
  communes: FeatureCollection | undefined,
  incidents: readonly IncidentRow[] | undefined,
): Promise<Place | null> {
  if (!chosen) return null;
  const { kind, id } = chosen;
  try {
    if (kind === 'thing' || kind === 'datastream') return at(things.get(id.split('/')[0] ?? ''));
    if (kind === 'place') return at(communes?.features.find((one) => one.properties?.['code'] === id)?.properties as ThingRow | undefined);
    if (kind === 'incident') return at(incidents?.find((one) => String(one.id) === id) ?? (await readIncident(id)));
    const alarm = kind === 'alarm' ? alarms.get(Number(id)) : undefined;
    if (kind === 'alarm' && !alarm) return null;
    const mover = alarm ? alarm.source : id;
    return (alarm && (at(alarm) ?? at(things.get(alarm.source.split('/')[0] ?? '')))) ?? at((await readMover(mover))?.latest);
  } catch (error) {
    if (error instanceof ApiError) return null;
    throw error;
  }
}
