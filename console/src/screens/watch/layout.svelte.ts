/** How a person arranged the desk, kept in the browser. */
import { remembered } from '$lib/preferences.svelte';

import { FIRST, isColumns, moved, PANELS, type Columns, type PanelId } from './columns';

class Layout {
  #kept = remembered<Columns>('watch-layout', FIRST, isColumns);

  get columns(): Columns {
    return this.#kept.value;
  }

  get hidden(): PanelId[] {
    return PANELS.filter((panel) => !this.columns.flat().includes(panel));
  }

  move(panel: PanelId, way: 'left' | 'right' | 'up' | 'down'): void {
    this.#kept.value = moved(this.columns, panel, way);
  }

  hide(panel: PanelId): void {
    const next = this.columns.map((column) => column.filter((one) => one !== panel)).filter((column) => column.length);
    if (next.length) this.#kept.value = next;
  }

  show(panel: PanelId): void {
    if (this.hidden.includes(panel)) this.#kept.value = [...this.columns, [panel]];
  }

  reset(): void {
    this.#kept.value = FIRST;
  }
}

export const layout = new Layout();
