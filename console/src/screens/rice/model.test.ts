import { describe, expect, it } from 'vitest';

import { addDays, day, ordinal, span } from './model';

describe('days', () => {
  it('are written as the province does', () => {
    expect(day('2026-04-20')).toBe('20/04');
    expect(day('2026-04-20', true)).toBe('20/04/2026');
    expect(span('2026-12-30', '2027-01-02')).toBe('30/12–02/01');
    expect(day(null)).toBe('–');
  });
  it('are added across the end of a year', () => {
    expect(addDays('2026-12-30', 5)).toBe('2027-01-04');
    expect(ordinal('2027-01-04') - ordinal('2026-12-30')).toBe(5);
  });
});
