import { describe, expect, it } from 'vitest';

import { difference } from './diff';
import { counts, paired } from './match';
import type { Really, Would } from './model';

const would = (source: string, raised: string, cleared: string | null): Would =>
  ({ source, condition: 'c', severity: 'high', raised, cleared }) as Would;
const really = (source: string, raised: string, cleared: string | null): Really =>
  ({ alarm: 1, source, condition: 'c', severity: 3, raised: Date.parse(raised) * 1000, cleared: cleared ? Date.parse(cleared) * 1000 : null }) as Really;

describe('what a backtest says beside what was raised', () => {
  const until = Date.parse('2026-01-02T00:00:00Z') * 1000;
  it('pairs what overlaps on one source, each once', () => {
    const pairs = paired(
      [would('a', '2026-01-01T01:00:00Z', '2026-01-01T02:00:00Z'), would('a', '2026-01-01T05:00:00Z', null), would('b', '2026-01-01T01:00:00Z', null)],
      [really('a', '2026-01-01T01:30:00Z', '2026-01-01T01:40:00Z'), really('a', '2026-01-01T03:00:00Z', '2026-01-01T04:00:00Z')],
      until,
    );
    expect(counts(pairs)).toEqual({ both: 1, only_would: 2, only_really: 1 });
    expect(pairs.map((pair) => pair.raised)).toEqual([...pairs.map((pair) => pair.raised)].sort((x, y) => y - x));
  });
});

describe('the difference of two versions', () => {
  it('keeps what is the same and names what is gone and new', () => {
    expect(difference('a\nb\nc\n', 'a\nx\nc\nd\n')).toEqual([
      { kind: 'same', text: 'a' },
      { kind: 'gone', text: 'b' },
      { kind: 'new', text: 'x' },
      { kind: 'same', text: 'c' },
      { kind: 'new', text: 'd' },
    ]);
  });
});
