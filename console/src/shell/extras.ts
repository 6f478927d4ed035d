/** What runs beside the screens for as long as somebody is signed in: each starts something and gives what ends it. */
const found = import.meta.glob<() => () => void>('../screens/*/always.ts', { eager: true, import: 'default' });

export const extras: readonly (() => () => void)[] = Object.values(found);
