/** The series of an indicator in the shape that the chart of history draws: buckets in which peaks survive. */
import { api } from '$lib/api/client';
import { iso, type Bucket, type Series } from '$lib/history/series';

import type { Item } from './model';

/** Points in buckets of one width; moments µs. */
export function bucketed(points: readonly (readonly [number, number])[], from: number, to: number, most: number, scale = 1): { width: number; items: Bucket[] } {
  const width = Math.max(1, Math.ceil((to - from) / most));
  const items: Bucket[] = [];
  for (const [time, raw] of points) {
    const value = raw * scale;
    const start = from + Math.floor((time - from) / width) * width;
    const one = items.at(-1);
    if (one?.start !== start) {
      items.push({ start, min: value, min_time: time, max: value, max_time: time, mean: value, first: value, last: value, count: 1 });
      continue;
    }
    if (value < one.min) [one.min, one.min_time] = [value, time];
    if (value > one.max) [one.max, one.max_time] = [value, time];
    one.mean = (one.mean * one.count + value) / (one.count + 1);
    one.last = value;
    one.count += 1;
  }
  return { width, items };
}

export async function seriesOf(item: Item, from: number, to: number, points: number, signal?: AbortSignal): Promise<Series> {
  const found = await api.get('/api/v1/indicators/{id}', { path: { id: item.id }, query: { since: iso(from), until: iso(to) }, signal });
  const { width, items } = bucketed(found.series as [number, number][], from, to, points, item.unit === '%' ? 100 : 1);
  return { key: item.id, unit: item.unit, since: from, until: to, bucket: width, items };
}
