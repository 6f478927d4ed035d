import { describe, expect, it } from 'vitest';

import { legsOf, metres, type At } from './trips';

const minute = 60_000_000;
const fix = (time: number, lon: number, speed_kn: number | null = null): At => ({ time: time * minute, lon, lat: 10.4, speed_kn });

describe('stays and moves', () => {
  it('measures a degree of longitude on the tenth parallel', () => {
    expect(metres({ lon: 105, lat: 10 }, { lon: 106, lat: 10 })).toBeCloseTo(109_505, -2);
  });

  it('tells a stay of an hour from the moves before and after it', () => {
    const fixes = [0, 5, 10].map((at) => fix(at, 105 + at / 1000, 6)).concat([15, 30, 45, 75].map((at) => fix(at, 105.02, 0)), [80, 85].map((at) => fix(at, 105.02 + (at - 75) / 1000, 8)));
    const legs = legsOf(fixes);
    expect(legs.map((leg) => leg.kind)).toEqual(['move', 'stay', 'move']);
    expect(legs[1]).toMatchObject({ from: 15 * minute, to: 75 * minute });
    expect(legs[0]!.metres).toBeGreaterThan(2000);
    expect(legs[2]!.fastest).toBe(8);
  });

  it('says nothing of nothing, and of one position', () => {
    expect(legsOf([])).toEqual([]);
    expect(legsOf([fix(0, 105)])).toEqual([]);
  });

  it('a vessel that swings at its anchor stays', () => {
    const fixes = [...Array.from({ length: 5 }, (_, at) => fix(at * 5, 105)), ...Array.from({ length: 5 }, (_, at) => fix(30 + at * 5, 105.0015))];
    expect(legsOf(fixes).map((leg) => leg.kind)).toEqual(['stay']);
  });

  it('jitter within the width is no move', () => {
    const fixes = Array.from({ length: 30 }, (_, at) => fix(at, 105 + (at % 2) * 0.0004));
    expect(legsOf(fixes).map((leg) => leg.kind)).toEqual(['stay']);
  });
});
