/** Stations, forecasts and their words. Moments are µs since 1970 UTC. */
import type { Answer } from '$lib/api/client';
import { HOUR, number } from '$lib/format';
import type { Series } from '$lib/history/series';
import { t } from '$lib/i18n.svelte';

export type Station = Answer<'/api/v1/water/stations'>['items'][number];
export type Forecast = Answer<'/api/v1/water/forecasts/{datastream}'>;
export type Air = Answer<'/api/v1/water/air'>['items'][number];
export type SheetRow = Answer<'/api/v1/water/salinity'>['items'][number];

/** Severities of flood alarm levels I, II, III, as charts and marks paint them. */
export const SEVERITY = [0, 2, 3, 4] as const;
export const ROMAN = ['', 'I', 'II', 'III'] as const;

export const metres = (value: number | null | undefined): string => (value === null || value === undefined ? '–' : number(value, 2));

/** How full the ladder is: the share of the way from half a metre under level I to level III; null where levels are not known. */
export function share(value: number | null | undefined, levels: readonly (number | null)[]): number | null {
  const top = levels[2];
  if (value === null || value === undefined || top === null || top === undefined) return null;
  const low = Math.min(levels[0] ?? top, levels[1] ?? top) - 1;
  return Math.max(0, Math.min(1.15, (value - low) / (top - low)));
}

/** A forecast as a series of a chart: the mean with its band, or the tide alone. */
export function seriesOf(made: Forecast, part: 'mean' | 'tide', key: string, from: number, to: number): Series {
  const items = made.times.flatMap((time, at) => {
    if (time < from || time >= to) return [];
    const mean = made[part][at]!;
    const low = part === 'mean' ? made.low[at]! : mean;
    const high = part === 'mean' ? made.high[at]! : mean;
    return [{ start: time - HOUR / 2, min: low, min_time: time, max: high, max_time: time, mean, first: mean, last: mean, count: 2 }];
  });
  return { key, unit: made.unit, since: from, until: to, bucket: HOUR, items };
}

export const pollutant = (name: string): string => (name ? t(`water:pollutant.${name}`) : '–');

/** Years and ten days of sheets as a table: a row for each station, a column for each ten days of a year. */
export function sheetTable(rows: readonly SheetRow[], year: number): { periods: number[]; stations: { title: string; km: number | null; values: Map<number, SheetRow> }[] } {
  const mine = rows.filter((one) => yearOf(one.begin) === year);
  const periods = [...new Set(mine.map((one) => one.begin))].sort((a, b) => a - b);
  const stations = new Map<string, { title: string; km: number | null; values: Map<number, SheetRow> }>();
  for (const one of mine) {
    const kept = stations.get(one.station) ?? { title: one.title, km: one.km, values: new Map<number, SheetRow>() };
    kept.values.set(one.begin, one);
    stations.set(one.station, kept);
  }
  return { periods, stations: [...stations.values()].sort((a, b) => (a.km ?? 1e9) - (b.km ?? 1e9)) };
}

export const yearOf = (us: number): number => new Date((us + 7 * HOUR) / 1000).getUTCFullYear();
