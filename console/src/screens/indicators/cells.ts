/** Where a cell of a row leads. */
import type { SelectedKind } from '$lib/selection.svelte';

import type { Column } from './model';

export type Row = Record<string, unknown>;

export interface Lead {
  href: string;
  /** To be selected there. */
  select?: SelectedKind;
  id: string;
}

/** The address of the record that a cell names; null where it names none. */
export function leads(column: Pick<Column, 'kind' | 'name'>, row: Row): Lead | null {
  const value = row[column.name];
  if (value === null || value === undefined || value === '') return null;
  const id = String(value);
  const thing = id.split('/')[0] ?? id;
  switch (column.kind) {
    case 'alarm':
      return { href: '/', select: 'alarm', id };
    case 'incident':
      return { href: `/incidents/${id}`, id };
    case 'task':
      return { href: `/tasks/${id}`, id };
    case 'report':
      return { href: `/inbox/${id}`, id };
    case 'mover':
      return { href: `/movers/${encodeURIComponent(id)}`, id };
    case 'thing':
      // The source of an alarm may be a vessel: those have no slash in their names, datastreams have one.
      return id.includes('/') || column.name === 'thing' ? { href: `/things/${encodeURIComponent(thing)}`, id } : { href: `/movers/${encodeURIComponent(id)}`, id };
    default:
      return null;
  }
}
