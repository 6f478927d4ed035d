/** Two lists that are sorted by `before` as one; of those that are alike, the first list's come first. */
export function merged<T>(a: readonly T[], b: readonly T[], before: (one: T, other: T) => number): T[] {
  const made = new Array<T>(a.length + b.length);
  for (let i = 0, j = 0, at = 0; at < made.length; at += 1) {
    made[at] = j >= b.length || (i < a.length && before(a[i]!, b[j]!) <= 0) ? a[i++]! : b[j++]!;
  }
  return made;
}
