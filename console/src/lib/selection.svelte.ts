/** What is selected: one thing at a time, on every part of the screen. */

export type SelectedKind = 'alarm' | 'incident' | 'thing' | 'mover' | 'datastream' | 'place';
export interface Selected {
  kind: SelectedKind;
  /** Number of an alarm or incident, key of a thing, mover or datastream, code of a place. */
  id: string;
}

class Selection {
  current = $state.raw<Selected | null>(null);

  select(kind: SelectedKind, id: string | number): void {
    this.current = { kind, id: String(id) };
  }

  clear(): void {
    this.current = null;
  }

  is(kind: SelectedKind, id: string | number): boolean {
    return this.current?.kind === kind && this.current.id === String(id);
  }
}

export const selection = new Selection();
