import { describe, expect, it } from 'vitest';

import { problems } from './problems';

const beat = (role: string, stages = {}, fresh = true) => ({ role, pid: 1, time: 0, age_s: 0, fresh, stages, counters: {} });

describe('problems', () => {
  it('finds none where all is well', () => {
    expect(problems([{ name: 'disk', ok: true }], [beat('engine', { detect: { lag: 3 } })], [['engine', 0]])).toEqual([]);
  });
  it('says once that a role is silent', () => {
    const found = problems([{ name: 'engine', ok: false, why: 'not heard for 9 s' }], [beat('engine', {}, false)], []);
    expect(found).toEqual([{ key: 'role', values: { role: 'engine' }, why: 'not heard for 9 s' }]);
  });
  it('names a stage that is far behind, one with faults, and restarts', () => {
    const found = problems([], [beat('engine', { detect: { lag: 20_000, faults: 2 } })], [['history', 1]]);
    expect(found.map((one) => one.key)).toEqual(['lag', 'faults', 'restarts']);
  });
});
