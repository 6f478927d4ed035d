import { describe, expect, it } from 'vitest';

import { HOUR } from '$lib/format';

import { seriesOf, share, sheetTable, yearOf, type Forecast, type SheetRow } from './model';

describe('the ladder of a station', () => {
  it('is full at level III and empty a metre under level I', () => {
    expect(share(2.3, [1.9, 2.1, 2.3])).toBeCloseTo(1);
    expect(share(0.9, [1.9, 2.1, 2.3])).toBeCloseTo(0);
    expect(share(5, [1.9, 2.1, 2.3])).toBe(1.15);
  });
  it('is not drawn where level III or the value is unknown', () => {
    expect(share(2, [null, null, null])).toBeNull();
    expect(share(null, [1, 2, 3])).toBeNull();
    expect(share(1.5, [null, null, 1.5])).toBeCloseTo(1);
  });
});

describe('a forecast on a chart', () => {
  const made = { unit: 'm', times: [0, HOUR, 2 * HOUR], mean: [1, 2, 3], low: [0.5, 1.5, 2.5], high: [1.5, 2.5, 3.5], tide: [1.1, 2.1, 3.1] } as unknown as Forecast;
  it('has a band about its mean, and none about the tide', () => {
    const [first] = seriesOf(made, 'mean', 'f', 0, 10 * HOUR).items;
    expect([first?.mean, first?.min, first?.max]).toEqual([1, 0.5, 1.5]);
    const tide = seriesOf(made, 'tide', 't', 0, 10 * HOUR).items[0];
    expect([tide?.mean, tide?.min, tide?.max]).toEqual([1.1, 1.1, 1.1]);
  });
  it('ends where the chart does', () => {
    expect(seriesOf(made, 'mean', 'f', HOUR, 2 * HOUR).items).toHaveLength(1);
  });
});

it('sheets become a table by year, from the mouth up the river', () => {
  const begin = Date.UTC(2021, 11, 31, 17) * 1000; // 1 January 2022 in Việt Nam
  const row = (station: string, km: number, at: number): SheetRow => ({ station, title: station, river: '', km, begin: at, end: at, g_l: km, source: '' });
  const rows = [row('b', 50, begin), row('a', 2, begin), row('a', 2, begin - 400 * 24 * HOUR)];
  expect(yearOf(begin)).toBe(2022);
  const made = sheetTable(rows, 2022);
  expect(made.stations.map((one) => one.title)).toEqual(['a', 'b']);
  expect(made.periods).toEqual([begin]);
});
