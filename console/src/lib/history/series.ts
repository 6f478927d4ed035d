/** A datastream over time, in buckets whose peaks survive, and as columns for a chart. Moments are µs since 1970 UTC. */
import { api } from '../api/client';

export interface Bucket {
  start: number;
  min: number;
  min_time: number;
  max: number;
  max_time: number;
  mean: number;
  first: number;
  last: number;
  count: number;
}

export interface Series {
  key: string;
  unit: string;
  since: number;
  until: number;
  /** Width of a bucket, µs. */
  bucket: number;
  items: Bucket[];
}

export interface Sample {
  time: number;
  result: number;
}

export async function readSeries(key: string, from: number, to: number, points: number, signal?: AbortSignal): Promise<Series> {
  const answer = await api.get('/api/v1/datastreams/{datastream}/observations', {
    path: { datastream: key },
    query: { since: iso(from), until: iso(to), points },
    signal,
  });
  return answer as unknown as Series;
}

/** Every observation, at most `limit`. */
export async function readRaw(key: string, from: number, to: number, limit: number): Promise<Sample[]> {
  const answer = await api.get('/api/v1/datastreams/{datastream}/observations', {
    path: { datastream: key },
    query: { since: iso(from), until: iso(to), raw: true, limit },
  });
  return (answer as unknown as { items: Sample[] }).items;
}

/** As the API reads it, to the microsecond. */
export function iso(us: number): string {
  const whole = Math.floor(us / 1000);
  const rest = String(Math.round(us - whole * 1000)).padStart(3, '0');
  return new Date(whole).toISOString().replace('Z', `${rest}Z`);
}

/** Times in seconds; mean, smallest, largest. A null where nothing came for long. */
export type Columns = [x: number[], mean: (number | null)[], min: (number | null)[], max: (number | null)[]];

const GAP_WIDTHS = 5;

/** Columns of a series. A lone observation stands at its own time, a bucket of several in its middle. */
export function columnsOf(series: Series): Columns {
  const made: Columns = [[], [], [], []];
  const times = series.items.map((one) => (one.count === 1 ? one.min_time : one.start + series.bucket / 2));
  const steps = times.slice(1).map((time, index) => time - times[index]!).sort((a, b) => a - b);
  const usual = Math.max(steps[Math.floor(steps.length / 2)] ?? 0, series.bucket);
  series.items.forEach((one, index) => {
    const time = times[index]!;
    const before = times[index - 1];
    if (before !== undefined && time - before > GAP_WIDTHS * usual) {
      made[0].push((before + time) / 2e6);
      for (const column of made.slice(1) as (number | null)[][]) column.push(null);
    }
    made[0].push(time / 1e6);
    made[1].push(one.mean);
    made[2].push(one.min);
    made[3].push(one.max);
  });
  return made;
}

export interface Summary {
  count: number;
  min: number;
  minTime: number;
  max: number;
  maxTime: number;
  mean: number;
  last: number;
}

/** The whole of a series in one row; null where there is nothing. */
export function summaryOf(series: Series): Summary | null {
  const [head] = series.items;
  if (!head) return null;
  const sum: Summary = { count: 0, min: head.min, minTime: head.min_time, max: head.max, maxTime: head.max_time, mean: 0, last: head.last };
  for (const one of series.items) {
    sum.mean += one.mean * one.count;
    sum.count += one.count;
    if (one.min < sum.min) [sum.min, sum.minTime] = [one.min, one.min_time];
    if (one.max > sum.max) [sum.max, sum.maxTime] = [one.max, one.max_time];
    sum.last = one.last;
  }
  sum.mean /= sum.count;
  return sum;
}
