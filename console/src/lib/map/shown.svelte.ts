/** What a person chose to see on maps, remembered in this browser. */
import { remembered } from '../preferences.svelte';

/** Layers of the map by what they show together; movers, alarms and incidents themselves lie on a canvas over it. */
export const PARTS = {
  communes: ['communes-line', 'communes-name', 'communes-dot'],
  things: ['things', 'things-name'],
  movers: ['movers-name'],
  tails: [],
  alarms: [],
  incidents: ['incidents-name'],
  heat: ['heat'],
  density: ['density'],
} as const satisfies Record<string, readonly string[]>;
export type Part = keyof typeof PARTS;

const OFF = new Set<string>(['heat', 'density']);
const kept = remembered<Record<string, boolean>>('map-shown', {}, (value): value is Record<string, boolean> => typeof value === 'object' && value !== null);

export const isShown = (id: string): boolean => kept.value[id] ?? !OFF.has(id);
export function setShown(id: string, shown: boolean): void {
  kept.value = { ...kept.value, [id]: shown };
}
