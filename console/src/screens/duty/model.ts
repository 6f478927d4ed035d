/** Rosters in words, and forms of them. */
import type { Answer } from '$lib/api/client';
import { t } from '$lib/i18n.svelte';

export type Stint = Answer<'/api/v1/duty'>['items'][number];
export type Rota = Answer<'/api/v1/duty/rotas'>['items'][number];
export type Handover = Answer<'/api/v1/duty/handovers'>['items'][number];
export type Chain = Answer<'/api/v1/escalation/chains'>['items'][number];
export type Escalation = Answer<'/api/v1/escalation'>['items'][number];
export type Suppression = Answer<'/api/v1/escalation/suppressions'>['items'][number];
export type Notice = Answer<'/api/v1/notices'>['items'][number];

export const DAYS = ['MO', 'TU', 'WE', 'TH', 'FR', 'SA', 'SU'] as const;

/** How a rota comes round: each day or some days of the week at full hours, or a rule of RFC 5545 in its own words. */
export interface Pattern {
  kind: 'daily' | 'weekly' | 'rule';
  hours: string;
  days: string[];
  rule: string;
}

export function patternOf(rule: string): Pattern {
  const parts = new Map(rule.split(';').map((part) => part.split('=') as [string, string]));
  const hours = (parts.get('BYHOUR') ?? '').split(',').join(', ');
  const plain = (...names: string[]) => [...parts.keys()].every((name) => names.includes(name)) && hours !== '';
  if (parts.get('FREQ') === 'DAILY' && plain('FREQ', 'BYHOUR')) return { kind: 'daily', hours, days: [], rule };
  const days = (parts.get('BYDAY') ?? '').split(',').filter(Boolean);
  if (parts.get('FREQ') === 'WEEKLY' && plain('FREQ', 'BYHOUR', 'BYDAY') && days.every((day) => (DAYS as readonly string[]).includes(day)))
    return { kind: 'weekly', hours, days, rule };
  return { kind: 'rule', hours: '7, 19', days: [], rule };
}

export function ruleOf({ kind, hours, days, rule }: Pattern): string {
  const clock = hours.split(/[\s,;]+/).filter(Boolean).map(Number).sort((a, b) => a - b).join(',');
  if (kind === 'daily') return `FREQ=DAILY;BYHOUR=${clock}`;
  if (kind === 'weekly') return `FREQ=WEEKLY;BYDAY=${DAYS.filter((day) => days.includes(day)).join(',')};BYHOUR=${clock}`;
  return rule.trim();
}

/** A rule in words. */
export function spoken(rule: string): string {
  if (!rule) return t('duty:rule.once');
  const { kind, hours, days } = patternOf(rule);
  const clock = hours.split(', ').map((hour) => `${hour.padStart(2, '0')}:00`).join(', ');
  if (kind === 'daily') return t('duty:rule.daily', { hours: clock });
  if (kind === 'weekly') return t('duty:rule.weekly', { days: days.map((day) => t(`duty:day.${day}`)).join(', '), hours: clock });
  return rule;
}

/** A recipient of a step, in its parts; `to` again by `toText`. */
export interface To {
  kind: 'duty' | 'role' | 'person' | 'channel';
  unit: string;
  role: string;
  login: string;
  address: string;
}

export function toOf(text: string): To {
  const [kind = '', rest = ''] = [text.slice(0, text.indexOf(':')), text.slice(text.indexOf(':') + 1)];
  if (kind === 'duty' || kind === 'role') {
    const [unit = '', role = ''] = rest.split('/');
    return { kind, unit: unit || '82', role, login: '', address: '' };
  }
  return kind === 'person' ? { kind, unit: '82', role: '', login: rest, address: '' } : { kind: 'channel', unit: '82', role: '', login: '', address: text };
}

export const toText = (to: To): string =>
  to.kind === 'channel' ? to.address.trim() : to.kind === 'person' ? `person:${to.login}` : `${to.kind}:${to.unit}${to.role ? `/${to.role}` : ''}`;
