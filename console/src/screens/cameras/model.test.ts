import { describe, expect, it } from 'vitest';

import { freeName, hasPicture, whole, type SceneDocument } from './model';

describe('a scene', () => {
  it('is whole whatever its document leaves out', () => {
    expect(whole(undefined)).toEqual({ lines: [], zones: [], ground: null });
    const kept = { lines: [{ name: 'a', start: [0, 0] as [number, number], end: [1, 1] as [number, number], classes: [], names: {}, capacity_pcu_h: 0 }] };
    const made = whole(kept);
    made.lines[0]!.name = 'b';
    expect(kept.lines[0]!.name).toBe('a');
  });

  it('names what is new as nothing else is named', () => {
    expect(freeName([], 'line')).toBe('line-1');
    expect(freeName([{ name: 'line-2' }], 'line')).toBe('line-3');
  });
});

describe('a camera', () => {
  it('has a picture once something came', () => {
    expect(hasPicture({ state: null })).toBe(false);
    expect(hasPicture({ state: { last: 1 } as never })).toBe(true);
  });
});

it('a scene is shown with what its document leaves out', () => {
  const { lines, zones, ground } = whole({ lines: [{ name: 'a', start: [0, 0], end: [1, 1] }], zones: [{ name: 'b', points: [[0, 0], [1, 0], [1, 1]] }] } as unknown as Partial<SceneDocument>);
  expect(lines).toEqual([{ name: 'a', start: [0, 0], end: [1, 1], classes: [], names: {}, capacity_pcu_h: 0 }]);
  expect(zones[0]).toMatchObject({ uses: ['carriageway'], classes: [], hours: [], heading: null, limit: 0 });
  expect(ground).toBeNull();
});
