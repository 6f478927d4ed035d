import { expect, test, vi } from 'vitest';

vi.mock('$lib/i18n.svelte', () => ({ language: () => 'en', t: (key: string) => key, tOr: (key: string) => key }));

const { usedUp } = await import('./model');

const account = (forecast: object) => ({ today: '2026-12-01', forecast: { days: 30, rate_m3: 100, ...forecast } }) as never;
const until = (valid_to: string | null) => ({ valid_to }) as never;
const ahead = { day: '2027-05-01', early: '2027-04-01', late: '2027-06-01', left_m3: 500 };

test('a licence that ends before it can be used up says so', () => {
  expect(usedUp(until('2026-12-31'), account(ahead))).toBe('sand:ends_first');
  expect(usedUp(until('2027-12-31'), account(ahead))).toBe('sand:used_up');
  expect(usedUp(until(null), account(ahead))).toBe('sand:used_up');
});

test('of one that is used up, or ended, nothing is said that is not so', () => {
  const over = { day: '2026-12-01', early: '2026-12-01', late: '2026-12-01', left_m3: 0 };
  expect(usedUp(until('2025-12-31'), account(over))).toBe('sand:used_up');
  expect(usedUp(until('2025-12-31'), account(ahead))).toBe('sand:used_up');
  expect(usedUp(until('2027-12-31'), account({ ...ahead, day: null }))).toBe(null);
});
