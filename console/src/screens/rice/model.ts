/** What the rice office's routes answer, and how its days and classes are written. */
import { send, type CallOptions } from '$lib/api/client';
import { t } from '$lib/i18n.svelte';

export type Text = Record<string, string>;
export interface Span {
  event: string;
  expected: string;
  early: string;
  late: string;
}
export interface Flight {
  id: number;
  peak: string;
  highest: number;
  common: number;
  origin: string;
  confounders: string[];
  traps: string[];
  counted: number;
  windows: Span[];
  stage: string;
  generation_days: number;
}
export interface Conflict {
  kind: string;
  severity: string;
  text: Text;
}
export interface Plan {
  peak: string;
  sow_from: string;
  sow_to: string;
  conflicts: Conflict[];
  reason: Text;
}
export interface Step {
  id: number;
  action: string;
  time: number;
  by: string;
  comment: string;
}
export interface Advice extends Plan {
  id: number;
  zone: string;
  zone_name: string;
  state: string;
  version: number;
  approved_by: string;
  published: number | null;
  may: string[];
  steps?: Step[];
}
export interface Zone {
  code: string;
  name: string;
  commune: string;
  communes: string[];
  area_ha: number;
  catch: number | null;
  risk: Level;
  traps: { name: string; title: string; value: number | null; night: string | null }[];
  stages: Record<string, number>;
  crops_ha: number;
  flights: Flight[];
  predictions: { target: string; value: number; low: number; high: number }[];
  advice: { id: number; state: string; peak: string; sow_from: string; sow_to: string; conflicts: Conflict[] } | null;
}
export type Level = 'none' | 'low' | 'watch' | 'high';
export interface Survey {
  id: number;
  surveyed: string;
  commune: string;
  zone: string | null;
  pest: string;
  stage: string;
  common: number | null;
  high: number | null;
  exceptional: number | null;
  light_ha: number;
  medium_ha: number;
  heavy_ha: number;
  note: string;
  origin: string;
  created_by: string;
  replaced_by: number | null;
  replaces: number | null;
  reason: string;
  class: string;
}
export interface Catalogue {
  pests: { key: string; title: Text; unit: string }[];
  stages: { key: string; title: Text }[];
  zones: { code: string; name: string; communes: string[] }[];
  communes: { code: string; title: string }[];
}
export interface TrapRow {
  name: string;
  title: string;
  commune: string;
  zone: string;
  value: number | null;
  night: string | null;
  week: number | null;
}
export interface Count {
  id: number;
  origin: string;
  value: number;
  before: number | null;
  reason: string;
  attachment: number | null;
  created: number;
  created_by: string;
  detail: { sizes?: Record<string, number>; sure?: boolean };
}
export interface Night {
  night: string;
  value: number | null;
  sent: number | null;
  picture: number | null;
  person: number | null;
  lamp_hours: number | null;
  counts: Count[];
}
export interface TrapNights {
  name: string;
  title: string;
  commune: string;
  species: string[];
  titles: Record<string, Text>;
  chosen: string;
  battery_v: number | null;
  nights: Night[];
}
export interface Fault {
  line: number;
  field: string;
  message: string;
  hint: string;
  fatal: boolean;
}
export interface Imported {
  read: number;
  good: number;
  kept: boolean;
  new: number;
  changed: number;
  same: number;
  faults: Fault[];
  unknown: string[];
  rows: Record<string, unknown>[];
}
export interface BulletinRow {
  id: number;
  number: number;
  year: number;
  week: string;
  state: string;
  version: number;
  approved: number | null;
  approved_by: string;
  digest: string;
  changed: number;
}
export interface Bulletin extends BulletinRow {
  content: Record<string, string>;
  may: string[];
  steps: Step[];
}

export const SECTIONS = ['weather', 'crops', 'traps', 'pests', 'forecast', 'advice'] as const;
export const LEVELS: readonly Level[] = ['none', 'low', 'watch', 'high'];
export const COLOURS: Record<Level, string> = { none: '#dfe7da', low: '#f3e2a0', watch: '#f0a848', high: '#d1495b' };
export const tone = (state: string): string => ({ draft: 'warn', approved: 'good', published: 'good', withdrawn: '' })[state] ?? '';
export const riskTone = (level: Level): string => ({ none: '', low: '', watch: 'warn', high: 'bad' })[level];

const DAY_MS = 86_400_000;
const PATH = '/api/v1/rice';

export const get = async <T>(path: string, options?: CallOptions): Promise<T> => (await (await send('GET', PATH + path, options)).json()) as T;
export const post = async <T>(path: string, body: unknown = {}, options?: CallOptions): Promise<T> => (await (await send('POST', PATH + path, { body, ...options })).json()) as T;
export const put = async <T>(path: string, body: unknown): Promise<T> => (await (await send('PUT', PATH + path, { body })).json()) as T;

/** 22/11 of 2026-11-22; with its year where that is wanted. */
export function day(text: string | null | undefined, year = false): string {
  if (!text) return '–';
  const [y, m, d] = text.split('-');
  return year ? `${d}/${m}/${y}` : `${d}/${m}`;
}
export const span = (from: string, to: string): string => `${day(from)}–${day(to)}`;
/** Days since 1970, for places on a line of time. */
export const ordinal = (text: string): number => Math.round(Date.parse(`${text}T00:00:00Z`) / DAY_MS);
/** Today in Việt Nam, as 2026-11-22. */
export const today = (): string => new Date(Date.now() + 7 * 3_600_000).toISOString().slice(0, 10);
export const addDays = (text: string, days: number): string => new Date(Date.parse(`${text}T00:00:00Z`) + days * DAY_MS).toISOString().slice(0, 10);
export const titleOf = (list: readonly { key: string; title: Text }[] | undefined, key: string, language: string): string => {
  const found = list?.find((one) => one.key === key);
  return found ? (found.title[language] ?? found.title['vi'] ?? key) : key;
};
export const stageName = (stage: string): string => (stage ? t(`rice:stage.${stage}`) : '–');
