import { expect, test } from 'vitest';

import { slowAhead, type CorridorForecast } from './corridors';

const made = { now: 40, limit: 22, minutes: [15, 30, 45, 60], value: [30, 20, 15, 12] } as CorridorForecast;

test('a road is marked where it moves now and is expected to stand in half an hour', () => {
  expect(slowAhead(made)).toBe(true);
  expect(slowAhead({ ...made, now: 12 })).toBe(false);
  expect(slowAhead({ ...made, value: [30, 28, 15, 12] })).toBe(false);
  expect(slowAhead({ ...made, limit: null })).toBe(false);
});
