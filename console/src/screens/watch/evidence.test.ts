import { beforeAll, expect, test } from 'vitest';

import { lines } from './evidence';

beforeAll(async () => {
  (globalThis as { document?: unknown }).document ??= { documentElement: { lang: 'en' } };
  const { needWords, startLanguage } = await import('$lib/i18n.svelte');
  await startLanguage();
  await needWords('alarm-evidence');
});

const read = (evidence: Record<string, unknown>, unit = '') => lines(evidence, unit).map((one) => `${one.name}: ${one.text}`);

test('a threshold is told in the unit of its source', () => {
  expect(read({ kind: 'threshold', by: 'delay', above: 3.5, highest: 4.878 }, 'm')).toEqual(['Kind of rule: threshold', 'Decided by: it lasted long enough', 'Upper limit: 3.5 m', 'Highest: 4.88 m']);
});

test('the end of a name tells the unit', () => {
  expect(read({ distance_m: 12, opens_min: 300, worked_min: 75, limit_m3: 3500, limit_m_h: 0.3, no_data_for_s: 15 })).toEqual([
    'From the boundary: 12 m', 'Hours begin: 05:00', 'Worked for: 1 hr 15 mins', 'Limit: 3,500 m³', 'Limit: 0.3 m/h', 'Silent for more than: 15 secs',
  ]);
});

test('moments are written in the province’s time, whether text or µs', () => {
  const wanted = '28/11/2026, 20:25:00';
  expect(read({ since: '2026-11-28T13:25:00Z' })).toEqual([`Since: ${wanted}`]);
  expect(read({ since: Date.parse('2026-11-28T13:25:00Z') * 1000 })).toEqual([`Since: ${wanted}`]);
});

test('what belongs together stands below its name', () => {
  const [only] = lines({ traps: { 'bd-cao-lanh': { peak: '2026-11-24', catch: 252 } } });
  expect(only?.name).toBe('Light traps');
  expect(only?.parts[0]?.parts.map((one) => `${one.name}: ${one.text}`)).toEqual(['Peak: 24/11/2026', 'Catch: 252']);
});

test('a track is its number of positions, and a name nobody translated is shown without underscores', () => {
  const positions = [0, 1].map((minute) => ({ time: `2026-11-28T13:2${minute}:00Z`, lon: 105, lat: 10 }));
  expect(read({ positions })[0]).toMatch(/^Positions: 2 positions, .*20:20 to .*20:21$/);
  expect(read({ some_new_name: null })).toEqual(['some new name: –']);
});
