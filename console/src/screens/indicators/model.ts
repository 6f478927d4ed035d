/** Indicators as the screens show them. */
import { api, type Answer } from '$lib/api/client';
import { lasting, number, percent, SECOND } from '$lib/format';
import { said, t } from '$lib/i18n.svelte';

export type Wall = Answer<'/api/v1/indicators'>;
export type Item = Wall['items'][number];
export type Light = Item['light'];
export type Detail = Answer<'/api/v1/indicators/{id}'>;
export type Rows = Answer<'/api/v1/indicators/{id}/rows'>;
export type Column = Rows['columns'][number];

export const LIGHTS: readonly Light[] = ['bad', 'warn', 'unknown', 'good', 'none'];
const RANK: Record<Light, number> = { bad: 3, warn: 2, good: 1, none: 0, unknown: 0 };

/** What the wall asks, every half minute. */
export const wallQuery = () => ({
  queryKey: ['indicators'],
  queryFn: () => api.get('/api/v1/indicators'),
  refetchInterval: 30_000,
});

/** A value with its unit: 12,5 %, 3 phút, 3,25 m. */
export function say(value: number | null | undefined, of: Pick<Item, 'unit' | 'digits'>): string {
  if (value === null || value === undefined) return '–';
  if (of.unit === '%') return percent(value, of.digits);
  if (of.unit === 's') return length(value);
  return number(value, of.digits) + (of.unit ? ` ${of.unit}` : '');
}

/** The same in two parts, for large figures: number, and unit. */
export function parts(value: number | null | undefined, of: Pick<Item, 'unit' | 'digits'>): [string, string] {
  if (value === null || value === undefined) return ['–', ''];
  if (of.unit === '%') return [number(100 * value, of.digits), '%'];
  if (of.unit === 's') {
    const found = /^(\S+) (\D.*?)( \d.*)?$/.exec(length(value));
    return found ? [found[1] ?? '', (found[2] ?? '') + (found[3] ?? '')] : [length(value), ''];
  }
  return [number(value, of.digits), of.unit];
}

const length = (seconds: number) => (seconds < 10 ? t('indicators:seconds', { count: number(seconds, 1) }) : lasting(seconds * SECOND));

/** Its bounds in words: ≤ 10. '' where there are none. */
export function bounds(item: Item): string {
  const { low, high } = item.target;
  return [low === null ? '' : `≥ ${say(low, item)}`, high === null ? '' : `≤ ${say(high, item)}`].filter(Boolean).join(' · ');
}

/** Why there is no value. */
export function why(item: Item): string {
  if (item.value !== null) return '';
  return item.reason === 'no_rows' || item.reason === 'not_yet' || !item.reason ? t(`indicators:reason.${item.reason || 'not_yet'}`) : t('indicators:reason.failed');
}

export interface Change {
  item: Item;
  /** Of the light: above 0 worse, below 0 better, 0 the same. */
  light: number;
  /** Of the value. */
  by: number;
  /** 1 better, -1 worse, 0 neither. */
  good: -1 | 0 | 1;
}

/** What became of it since yesterday; null where there is nothing to compare. */
export function change(item: Item): Change | null {
  if (item.value === null || item.yesterday === null) return null;
  const by = item.value - item.yesterday;
  const judged = item.light_yesterday !== 'none' && item.light_yesterday !== 'unknown' && item.light !== 'none';
  const sense = item.direction === 'lower' ? -1 : item.direction === 'higher' ? 1 : 0;
  return { item, by, light: judged ? RANK[item.light] - RANK[item.light_yesterday] : 0, good: Math.sign(by * sense) as Change['good'] };
}

const NOTABLE = 0.2;

/** What changed since yesterday, what matters most first: lights, then values by a fifth or more. */
export function changes(items: readonly Item[]): Change[] {
  const size = (one: Change) => Math.abs(one.by) / Math.max(Math.abs(one.item.yesterday ?? 0), 1e-9);
  return items
    .map(change)
    .filter((one): one is Change => one !== null && one.by !== 0 && (one.light !== 0 || size(one) >= NOTABLE))
    .sort((a, b) => b.light - a.light || Number(b.light !== 0) - Number(a.light !== 0) || a.good - b.good || size(b) - size(a));
}

export const byTheme = (wall: Wall) =>
  wall.themes.map((theme) => ({ id: theme.id, title: said(theme.title as unknown as Record<string, string>), items: wall.items.filter((one) => one.theme === theme.id) }));

export const titleOf = (item: Item): string => said(item.title as unknown as Record<string, string>);
export const textOf = (text: { vi: string; en: string }): string => said(text as unknown as Record<string, string>);
export const count = (items: readonly Item[], light: Light): number => items.filter((one) => one.light === light).length;
