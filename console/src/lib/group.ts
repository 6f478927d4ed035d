/** Items by a key of theirs, keys in the order they come in. */
export function groupBy<T, K>(items: readonly T[], key: (item: T) => K): Map<K, T[]> {
  const found = new Map<K, T[]>();
  for (const item of items) {
    const of = key(item);
    const group = found.get(of);
    if (group) group.push(item);
    else found.set(of, [item]);
  }
  return found;
}
