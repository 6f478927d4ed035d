/** What changed between two texts, line by line. */
export interface Line {
  kind: 'same' | 'gone' | 'new';
  text: string;
}

/** Lines of both, in order; the longest common run of lines stays. */
export function difference(before: string, after: string): Line[] {
  const a = before.trimEnd().split('\n');
  const b = after.trimEnd().split('\n');
  const long: number[][] = Array.from({ length: a.length + 1 }, () => new Array<number>(b.length + 1).fill(0));
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--) long[i]![j] = a[i] === b[j] ? long[i + 1]![j + 1]! + 1 : Math.max(long[i + 1]![j]!, long[i]![j + 1]!);
  const lines: Line[] = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) lines.push({ kind: 'same', text: a[i++]! }), j++;
    else if (j >= b.length || (i < a.length && long[i + 1]![j]! >= long[i]![j + 1]!)) lines.push({ kind: 'gone', text: a[i++]! });
    else lines.push({ kind: 'new', text: b[j++]! });
  }
  return lines;
}
