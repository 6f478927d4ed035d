import { describe, expect, it } from 'vitest';

import { isColumns, moved, type Columns } from './columns';

describe('an arrangement of the desk', () => {
  const start: Columns = [['alarms', 'incidents'], ['map'], ['details']];

  it('keeps every panel wherever one goes', () => {
    let columns = start;
    for (const way of ['left', 'down', 'right', 'right', 'right', 'up', 'left', 'left', 'left'] as const) {
      columns = moved(columns, 'incidents', way);
      expect(isColumns(columns)).toBe(true);
      expect(columns.flat().sort()).toEqual(['alarms', 'details', 'incidents', 'map']);
    }
  });

  it('makes a column at the edge, and not where the panel is alone there', () => {
    expect(moved(start, 'alarms', 'left')).toEqual([['alarms'], ['incidents'], ['map'], ['details']]);
    expect(moved(start, 'details', 'right')).toBe(start);
  });

  it('is not what somebody else wrote into the storage', () => {
    for (const wrong of [null, [], [[]], [['alarms', 'alarms']], [['news']], 'map']) expect(isColumns(wrong)).toBe(false);
  });
});
