/** Events of an incident in words. */
import { moment } from '$lib/format';
import { said, t, tOr } from '$lib/i18n.svelte';
import type { IncidentEvent } from '$lib/incidents/model';
import { domainName, names } from '$lib/incidents/names.svelte';

import { conditionName } from './links';

export type EventGroup = 'comment' | 'state' | 'task' | 'evidence' | 'alarm' | 'change';

const GROUPS: Record<string, EventGroup> = {
  comment: 'comment', join: 'alarm', alarm_cleared: 'alarm', link: 'evidence', unlink: 'evidence',
  assign: 'change', severity: 'change', edit: 'change', merge: 'change', absorb: 'change', split: 'change', escalation: 'change',
};
export const groupOf = (event: IncidentEvent): EventGroup =>
  event.action.startsWith('task_') || event.action === 'procedure' ? 'task' : (GROUPS[event.action] ?? 'state');

type Pair = [unknown, unknown];
const shown = (field: string, value: unknown): string => {
  if (value === null || value === undefined || value === '') return field === 'unit' ? names.of('') : t('none');
  if (field === 'unit' || field === 'commune') return names.of(String(value));
  if (field === 'domain') return domainName(String(value));
  if (field === 'due') return moment(Number(value));
  return String(value);
};
const changes = (detail: Record<string, unknown>): string =>
  Object.entries(detail)
    .filter(([, pair]) => Array.isArray(pair) && pair.length === 2)
    .map(([field, pair]) => `${tOr(`incidents:field.${field}`, field)}: ${shown(field, (pair as Pair)[0])} → ${shown(field, (pair as Pair)[1])}`)
    .join('; ');

/** What happened, as a sentence without who and when. */
export function describe(event: IncidentEvent): string {
  const detail = event.detail as Record<string, unknown>;
  const condition = detail['condition'] ? conditionName(String(detail['condition'])) : '';
  const values: Record<string, string | number> = {
    condition,
    source: String(detail['source'] ?? ''),
    incident: Number(detail['incident'] ?? detail['into'] ?? 0),
    title: said(detail['title'] as Record<string, string> | string | undefined),
    changes: changes(detail),
    what: detail['kind'] ? t(`incidents:link.${String(detail['kind'])}`) : '',
    chain: String(detail['chain'] ?? ''),
    step: String(detail['step'] ?? ''),
  };
  if (event.action === 'severity') {
    values['changes'] = `${t(`severity.${Number(detail['from'])}`)} → ${t(`severity.${Number(detail['to'])}`)}`;
  }
  if (event.action === 'link' || event.action === 'unlink') values['title'] = String(detail['title'] || detail['ref'] || '');
  if (event.action === 'escalation') return t(detail['reason'] === 'unreachable' ? 'incidents:event.escalation_unreachable' : detail['reason'] === 'unanswered' ? 'incidents:event.escalation_unanswered' : 'incidents:event.escalation', { ...values, to: ((detail['to'] as string[] | undefined) ?? []).join(', ') });
  return tOr(`incidents:event.${event.action}`, event.action, values);
}
