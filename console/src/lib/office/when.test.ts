import { expect, test } from 'vitest';

import { DAY } from '../format';
import { dayStart, fromLocal, lengthText, toLocal, weekStart } from './when';

test('a moment and its field say the same in the province', () => {
  const us = Date.UTC(2026, 10, 22, 20, 30) * 1000; // 03:30 of the next day in Việt Nam
  expect(toLocal(us)).toBe('2026-11-23T03:30');
  expect(fromLocal('2026-11-23T03:30')).toBe(us);
  expect(fromLocal('')).toBeNull();
});

test('a week begins on Monday, a day at midnight of the province', () => {
  const sunday = fromLocal('2026-11-22T23:59')!;
  expect(toLocal(weekStart(sunday))).toBe('2026-11-16T00:00');
  expect(toLocal(weekStart(sunday + DAY))).toBe('2026-11-23T00:00');
  expect(toLocal(dayStart(sunday))).toBe('2026-11-22T00:00');
});

test('lengths are told in whole hours where they are such', () => {
  expect([lengthText(12 * 3600e6), lengthText(5400e6)]).toEqual(['12h', '90m']);
});
