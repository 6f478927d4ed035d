import { expect, test } from 'vitest';

import { bucketed } from './series';

test('a peak survives in its bucket, and the mean is of all points', () => {
  const points: [number, number][] = [[0, 1], [10, 9], [20, 2], [100, 4]];
  const { width, items } = bucketed(points, 0, 200, 2);
  expect(width).toBe(100);
  expect(items.map((one) => [one.start, one.min, one.max, one.mean, one.count])).toEqual([[0, 1, 9, 4, 3], [100, 4, 4, 4, 1]]);
  expect(items[0]?.max_time).toBe(10);
});

test('nothing gives nothing, and a share is scaled to per cent', () => {
  expect(bucketed([], 0, 100, 10).items).toEqual([]);
  expect(bucketed([[5, 0.5]], 0, 100, 10, 100).items[0]?.mean).toBe(50);
});
