import { expect, test } from 'vitest';

import { Fleet, mercatorX, TAIL } from './fleet';
import { MAGIC, readFrame, UNKNOWN, type Named } from './frame';
import { area, distance, extent, inside } from './geometry';
import { islands } from './islands';
import { MarkLayer } from './marklayer';
import type { Palette } from './palette';

/** A frame as the centre writes it. */
function frame(rows: [number, number, number][], named: Named[] = [], removed: number[] = [], anew = false): ArrayBuffer {
  let text = named.length ? JSON.stringify(named) : '';
  while (new TextEncoder().encode(text).length % 4) text += ' ';
  const names = new TextEncoder().encode(text);
  const n = rows.length;
  const made = new ArrayBuffer(24 + names.length + n * 20 + removed.length * 4);
  new Uint32Array(made, 0, 6).set([MAGIC, anew ? 1 : 0, n, removed.length, names.length, 0]);
  new Uint8Array(made, 24).set(names);
  const at = 24 + names.length;
  new Uint32Array(made, at, n).set(rows.map(([index]) => index));
  new Int32Array(made, at + n * 4, n).set(rows.map(([, lon]) => Math.round(lon * 1e7)));
  new Int32Array(made, at + n * 8, n).set(rows.map(([, , lat]) => Math.round(lat * 1e7)));
  new Uint16Array(made, at + n * 16, n).fill(70);
  new Uint16Array(made, at + n * 18, n).fill(UNKNOWN);
  new Uint32Array(made, at + n * 20).set(removed);
  return made;
}
const vessel = (index: number, key: string): Named => [index, key, '', 'cargo', 'traffic'];

test('a frame that is cut short is refused', () => {
  const whole = frame([[0, 105.5, 10.5]], [vessel(0, 'a')]);
  expect(readFrame(whole).named).toEqual([vessel(0, 'a')]);
  expect(() => readFrame(whole.slice(0, -4))).toThrow();
  expect(() => readFrame(new ArrayBuffer(8))).toThrow();
});

test('movers come, move with a tail, leave, and their index names another', () => {
  const fleet = new Fleet(105.5, 10.5);
  fleet.take(readFrame(frame([[0, 105.5, 10.5], [1, 105.6, 10.5]], [vessel(0, 'a'), vessel(1, 'b')], [], true)));
  expect(fleet.count).toBe(2);
  expect(fleet.nearest(105.601, 10.5, 0.01)).toBe(1);
  fleet.take(readFrame(frame([[0, 105.51, 10.5]])));
  expect(fleet.points[0]).toBeCloseTo(mercatorX(105.51) - mercatorX(105.5), 9);
  expect(fleet.tails[2]).toBeCloseTo(0, 9); // where it was
  fleet.take(readFrame(frame([[1, 105.7, 10.5]], [vessel(1, 'c')], [0])));
  expect([...fleet.byKey]).toEqual([['c', 1]]);
  expect(fleet.tails[TAIL * 2]).toBe(fleet.tails[TAIL * 2 + 2]); // a new one has no tail
  fleet.take(readFrame(frame([], [], [], true)));
  expect(fleet.count).toBe(0);
});

test('measures are right to a per mille', () => {
  expect(distance([105, 10], [106, 10])).toBeCloseTo(109_505, -2);
  const square = { type: 'Polygon' as const, coordinates: [[[105, 10], [105.01, 10], [105.01, 10.01], [105, 10.01], [105, 10]]] };
  expect(area(square) / 1_217_600).toBeCloseTo(1, 2);
  expect(inside(105.005, 10.005, square)).toBe(true);
  expect(inside(105.02, 10.005, square)).toBe(false);
  expect(extent([{ type: 'FeatureCollection', features: [{ type: 'Feature', properties: {}, geometry: square }] }])).toEqual([105, 10, 105.01, 10.01]);
  expect(extent([{ type: 'FeatureCollection', features: [] }])).toBeNull();
});

test('both archipelagos are named', () => {
  const names = islands((key) => key).features.flatMap((one) => (one.properties?.['title'] ? [String(one.properties['title'])] : []));
  expect(names).toEqual(['map:hoang_sa', 'map:truong_sa']);
});

test('a click means the mark that is seen: incidents over alarms, of alarms on one spot the most severe', () => {
  const marks = new MarkLayer([mercatorX(105.9), 0.47], {} as Palette);
  const perPixel = 1 / (512 * 2 ** 10);
  const east = (pixels: number) => 105.6 + pixels * perPixel * 360;
  marks.putAlarms([
    { id: 1, severity: 2, calling: true, lon: 105.6, lat: 10.45 },
    { id: 2, severity: 4, calling: false, lon: east(1), lat: 10.45 },
    { id: 3, severity: 3, calling: true, lon: east(60), lat: 10.45 },
  ]);
  expect(marks.hit({ lon: 105.6, lat: 10.45 }, perPixel)).toEqual({ kind: 'alarm', key: '2' });
  expect(marks.hit({ lon: east(55), lat: 10.45 }, perPixel)).toEqual({ kind: 'alarm', key: '3' });
  expect(marks.hit({ lon: east(30), lat: 10.45 }, perPixel)).toBeNull();
  marks.putIncidents([{ id: 9, title: '', severity: 4, lon: 105.6, lat: 10.45 }, { id: 10, title: '', severity: 4, lon: null, lat: null }]);
  expect(marks.hit({ lon: 105.6, lat: 10.4515 }, perPixel)).toEqual({ kind: 'incident', key: '9' }); // its pin stands above its place
  marks.show('incident', false);
  expect(marks.hit({ lon: 105.6, lat: 10.45 }, perPixel)).toEqual({ kind: 'alarm', key: '2' });
});
