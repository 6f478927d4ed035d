import { expect, test } from 'vitest';

import { merged } from './sorted';

test('two sorted lists become one, and what is alike keeps its order', () => {
  const before = (a: [number, string], b: [number, string]) => a[0] - b[0];
  expect(merged([[1, 'a'], [3, 'a'], [3, 'b']], [[0, 'c'], [3, 'c'], [9, 'c']], before).map(([n, name]) => `${n}${name}`)).toEqual(['0c', '1a', '3a', '3b', '3c', '9c']);
  expect(merged([], [[2, 'x']], before)).toEqual([[2, 'x']]);
  expect(merged([[2, 'x']], [], before)).toEqual([[2, 'x']]);
  expect(merged([], [], before)).toEqual([]);
});
