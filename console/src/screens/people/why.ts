/** The reasons of `GET /api/v1/policy/explain` in the language spoken. What is not known is said as it came. */
import { t } from '$lib/i18n.svelte';

import { domainName, roleName, unitName, type Unit } from './data';

const ROLE = /^the role (\S+) \((everywhere|in (\S+?))(?:, domain (\S+?))?(?:, until (\S+?))?\) (.*)$/;
const OUTCOMES: [RegExp, string][] = [
  [/^does not hold (\S+)$/, 'lacks'],
  [/^has ended$/, 'ended'],
  [/^is for another domain than (.+)$/, 'domain'],
  [/^does not reach this (\w+), which is of (.+)$/, 'reach'],
  [/^holds (\S+)$/, 'holds'],
];

export interface Reason {
  text: string;
  /** Whether it speaks for the person; null where it neither does nor does not. */
  good: boolean;
}

export function reason(told: string, units: readonly Unit[] | undefined, action: string): Reason {
  const role = ROLE.exec(told);
  if (role) {
    const [, name = '', , unit = '', domain = '', until = '', rest = ''] = role;
    const where = [unitName(unit, units), domain && domainName(domain), until && t('people:why.until', { time: until.replace('T', ' ').replace('Z', '') })].filter(Boolean).join(', ');
    for (const [pattern, key] of OUTCOMES) {
      const found = pattern.exec(rest);
      if (found) {
        const of = key === 'domain' ? domainName(found[1] === 'none' ? '' : (found[1] ?? '')) : key === 'reach' ? (found[2] ?? '').split(', ').map((code) => unitName(code, units)).join(', ') : action;
        return { text: t(`people:why.role_${key}`, { role: roleName(name), where, of }), good: key === 'holds' };
      }
    }
  }
  const restricted = /^(thing|domain|unit) (.+) is restricted(; there is|, and there is no) (?:a )?clearance for it$/.exec(told);
  if (restricted) {
    const good = restricted[3] === '; there is';
    const what = `${t(`people:restricted.${restricted[1]}`)} ${restricted[2]}`;
    return { text: t(good ? 'people:why.cleared' : 'people:why.uncleared', { what }), good };
  }
  if (told === 'there is no role at all') return { text: t('people:why.no_role'), good: false };
  const barred = /^(.+) is disabled since (.+)$/.exec(told);
  if (barred) return { text: t('people:why.barred', { login: barred[1] ?? '' }), good: false };
  return { text: told, good: false };
}
