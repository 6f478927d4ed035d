/** The register of river sand as the centre gives it. */
import type { Answer } from '$lib/api/client';
import { fold, number } from '$lib/format';
import { language, t, tOr } from '$lib/i18n.svelte';

export type Entry = Answer<'/api/v1/sand/{part}'>['items'][number];
export type Account = Answer<'/api/v1/sand/ledger'>['items'][number];
export type Amount = Account['used'][string];
export type Line = NonNullable<Account['days']>[number];
export type Violation = Answer<'/api/v1/sand/violations'>['items'][number];
export type Judged = Answer<'/api/v1/sand/corners', 'post'>;
export type Fault = Judged['faults'][number];
export type Done = Answer<'/api/v1/sand/import/{part}', 'post'>;

export interface Corners {
  meridian: number;
  rows: { label: string; x: number; y: number }[];
}
export interface Licence {
  number: string;
  name: string;
  holder: string;
  geometry: GeoJSON.Geometry;
  valid_from: string | null;
  valid_to: string | null;
  opens: string;
  closes: string;
  max_depth_m: number | null;
  day_m3: number | null;
  month_m3: number | null;
  year_m3: number | null;
  total_m3: number | null;
  used_m3: number;
  area_ha: number | null;
  vessels: string[];
  corners: Corners | null;
  source: string;
}

export const PARTS = ['licences', 'vessels', 'wharves', 'zones'] as const;
export type Part = (typeof PARTS)[number];
export const PERIODS = ['day', 'month', 'year', 'total'] as const;

export const licenceOf = (entry: Entry): Licence => entry.body as unknown as Licence;
export const geometryOf = (entry: Entry): GeoJSON.Geometry => (entry.body as unknown as { geometry: GeoJSON.Geometry }).geometry;
export const text = (entry: Entry, name: string): string => String((entry.body as Record<string, unknown>)[name] ?? '');
export const amount = (value: number | null | undefined): string => (value === null || value === undefined ? '–' : `${number(value, 0)} m³`);
export const band = (one: Amount): string => `${number(one.low_m3, 0)}–${number(one.high_m3, 0)}`;
export const kindName = (kind: string): string => tOr(`condition.${kind}`, kind);

/** 31/12/2026 of 2026-12-31; a month as 12/2026. */
export function dayName(day: string | null | undefined): string {
  if (!day) return '–';
  return language() === 'vi' ? day.split('-').reverse().join('/') : day;
}

/** When a licence is used up as things go; that it ends first, where it does. Null where nothing can be foreseen. */
export function usedUp(licence: Licence, account: Account): string | null {
  const found = account.forecast;
  if (!found?.day) return null;
  const rate = number(found.rate_m3, 0);
  const ends = licence.valid_to?.slice(0, 10) ?? '';
  if (found.left_m3 > 0 && ends >= account.today && (found.early ?? found.day) > ends) return t('sand:ends_first', { day: dayName(ends), rate });
  return t('sand:used_up', { day: dayName(found.day), early: dayName(found.early), late: dayName(found.late), rate });
}

/** What is wrong, in the language spoken; what the centre said where there is no such message. */
export const faultText = (fault: Fault): string =>
  tOr(`sand:fault.${fault.code}`, fault.message, { ...(fault.values as Record<string, string | number>), value: fault.value, column: fault.column });

export const meridianText = (degrees: number): string => `${Math.floor(degrees)}°${String(Math.round((degrees % 1) * 60)).padStart(2, '0')}′`;
export const svg = (picture: string): string => `data:image/svg+xml;charset=utf-8,${encodeURIComponent(picture)}`;
export const matches = (search: string, ...texts: string[]): boolean => !search.trim() || texts.some((one) => fold(one).includes(fold(search.trim())));
export const whereText = (fault: Fault): string =>
  [fault.row ? t('sand:row', { row: fault.row }) : '', fault.column ? t('sand:column', { column: fault.column }) : ''].filter(Boolean).join(', ');
