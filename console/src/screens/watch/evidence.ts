/** What an alarm was raised with, as lines to read: names in words, values with their units. */
import { absolute, lasting, MINUTE, moment, number, percent, measured, SECOND } from '$lib/format';
import { t, tOr } from '$lib/i18n.svelte';

export interface Line {
  name: string;
  text: string;
  /** What it is made of, where it is more than a value. */
  parts: Line[];
}

type Known = Record<string, unknown>;

/** Measured as the alarm's own source is. */
const OF_SOURCE = new Set(['above', 'below', 'change', 'expected', 'fall', 'high', 'highest', 'inside', 'levels', 'limit', 'low', 'lowest', 'now', 'outside', 'rise', 'value']);
/** Ends of names that tell the unit, the longer ones first. */
const UNITS: readonly [string, (value: number) => string][] = [
  ['_m_h', (value) => `${number(value)} ${t('alarm-evidence:per_hour')}`],
  ['_share', (value) => percent(value)],
  ['_kn', (value) => `${number(value, 1)} ${t('alarm-evidence:knots')}`],
  ['_m3', (value) => measured(value, 'm³', 0)],
  ['_min', (value) => lasting(value * MINUTE)],
  ['_h', (value) => lasting(value * 60 * MINUTE)],
  ['_s', (value) => lasting(value * SECOND)],
  ['_m', (value) => measured(value, 'm')],
];
/** Above this a number is a moment in µs; nothing that is measured is as large. */
const MOMENT = 1e15;

const isKnown = (value: unknown): value is Known => typeof value === 'object' && value !== null && !Array.isArray(value);
const us = (text: string): number => Date.parse(text) * 1000;
const two = (part: number): string => String(part).padStart(2, '0');
/** A time of day in minutes; the end of a day is 24:00. */
const hour = (minutes: number): string => `${two(Math.floor(Math.round(minutes) / 60))}:${two(Math.round(minutes) % 60)}`;

function counted(name: string, value: number, unit: string): string {
  if (value > MOMENT) return absolute(value);
  if (name === 'opens_min' || name === 'closes_min') return hour(value);
  if (name === 'minutes') return lasting(value * MINUTE);
  if (name === 'm3') return measured(value, 'm³', 0);
  if (name === 'lon' || name === 'lat') return number(value, 5);
  const [, write] = UNITS.find(([end]) => name.endsWith(end)) ?? [];
  return write ? write(value) : measured(value, OF_SOURCE.has(name) ? unit : '');
}

function written(name: string, value: string): string {
  if (/^\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)$/.test(value)) return absolute(us(value));
  if (/^\d{4}-\d\d-\d\d$/.test(value)) return value.split('-').reverse().join('/');
  return tOr(`alarm-evidence:is.${name}.${value}`, value);
}

function single(name: string, value: unknown, unit: string): string {
  if (typeof value === 'number') return counted(name, value, unit);
  if (typeof value === 'boolean') return t(value ? 'yes' : 'no');
  return value === null || value === undefined || value === '' ? '–' : written(name, String(value));
}

/** Positions of a track: how many, from when to when. */
function track(found: readonly unknown[]): string | null {
  if (!found.length || !found.every((one) => isKnown(one) && 'lon' in one && typeof one['time'] === 'string')) return null;
  const times = (found as Known[]).map((one) => us(String(one['time'])));
  return t('alarm-evidence:between', { count: number(found.length), from: moment(Math.min(...times)), to: moment(Math.max(...times)) });
}

const nameOf = (name: string): string => tOr(`alarm-evidence:name.${name}`, tOr(`property.${name}`, name.replaceAll('_', ' ')));

function line(name: string, value: unknown, unit: string): Line {
  if (isKnown(value)) return { name: nameOf(name), text: '', parts: lines(value, unit) };
  if (!Array.isArray(value)) return { name: nameOf(name), text: single(name, value, unit), parts: [] };
  const tracked = track(value);
  if (tracked === null && value.some(isKnown)) return { name: nameOf(name), text: '', parts: value.map((one, index) => line(String(index + 1), one, unit)) };
  // Of dates the first and last say how sure the one between them is.
  return { name: nameOf(name), text: tracked ?? (value.map((one) => single(name, one, unit)).join(' · ') || '–'), parts: [] };
}

/** Lines of what is known; `unit` is that of the alarm's own source, '' where it has none. */
export const lines = (evidence: Known, unit = ''): Line[] => Object.entries(evidence).map(([name, value]) => line(name, value, unit));
