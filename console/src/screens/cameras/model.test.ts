import { describe, expect, it } from 'vitest';

import { freeName, hasPicture, whole } from './model';

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
