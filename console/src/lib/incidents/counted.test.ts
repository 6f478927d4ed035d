import { expect, test } from 'vitest';

import { countedWithin, leftUntil } from './counted';

const HOUR = 3_600_000_000;
const days = [
  { begin: 8 * HOUR, end: 12 * HOUR },
  { begin: 32 * HOUR, end: 36 * HOUR },
];

test('only open hours count', () => {
  expect(countedWithin(days, 10 * HOUR, 34 * HOUR)).toBe(4 * HOUR);
  expect(leftUntil(34 * HOUR, 10 * HOUR, true, days)).toEqual({ us: 4 * HOUR, late: false, opens: null });
});

test('while offices are closed the clock says when it goes on', () => {
  expect(leftUntil(34 * HOUR, 20 * HOUR, true, days)).toEqual({ us: 2 * HOUR, late: false, opens: 32 * HOUR });
});

test('around the clock every hour counts', () => {
  expect(leftUntil(34 * HOUR, 20 * HOUR, false, null)).toEqual({ us: 14 * HOUR, late: false, opens: null });
});

test('what is missed is late, and what lies beyond the calendar is not guessed', () => {
  expect(leftUntil(20 * HOUR, 21 * HOUR, true, days)?.late).toBe(true);
  expect(leftUntil(99 * HOUR, 21 * HOUR, true, days)).toBeNull();
});
