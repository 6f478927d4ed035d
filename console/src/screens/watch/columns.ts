/** Arrangements of the desk: columns of panels. */
export const PANELS = ['alarms', 'incidents', 'map', 'details'] as const;
export type PanelId = (typeof PANELS)[number];
export type Columns = PanelId[][];

export const FIRST: Columns = [['alarms', 'incidents'], ['map'], ['details']];

/** Whether this is an arrangement: no panel twice, no unknown one, no empty column, at least one panel. */
export function isColumns(value: unknown): value is Columns {
  if (!Array.isArray(value) || !value.length) return false;
  const seen = value.flat() as unknown[];
  return value.every((column) => Array.isArray(column) && column.length > 0) && seen.every((one) => PANELS.includes(one as PanelId)) && new Set(seen).size === seen.length;
}

/** The arrangement after a panel went one step; the same where there is no way. A new column is made at the edges. */
export function moved(columns: Columns, panel: PanelId, way: 'left' | 'right' | 'up' | 'down'): Columns {
  const at = columns.findIndex((column) => column.includes(panel));
  if (at < 0) return columns;
  const next = columns.map((column) => [...column]);
  const own = next[at]!;
  const place = own.indexOf(panel);
  if (way === 'up' || way === 'down') {
    const to = place + (way === 'up' ? -1 : 1);
    if (to < 0 || to >= own.length) return columns;
    [own[place], own[to]] = [own[to]!, own[place]!];
    return next;
  }
  const to = at + (way === 'left' ? -1 : 1);
  if ((to < 0 || to >= next.length) && own.length === 1) return columns;
  own.splice(place, 1);
  if (to < 0) next.unshift([panel]);
  else if (to >= next.length) next.push([panel]);
  else next[to]!.push(panel);
  return next.filter((column) => column.length);
}
