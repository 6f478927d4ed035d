/** What the API says of rules, and how its words become numbers and moments. */
import type { Answer } from '$lib/api/client';

export type RuleList = Answer<'/api/v1/rules'>;
export type RuleShown = RuleList['rules'][number];
export type Problem = RuleList['problems'][number];
export type Kinds = Answer<'/api/v1/rules/schema'>['kinds'];
export type Report = Answer<'/api/v1/backtests', 'post'>;
export type Would = Report['alarms'][number];
export type Really = Report['really'][number];
export type Version = Answer<'/api/v1/rules/{name}/history'>['versions'][number];

/** A rule's fields as they are written; what forms edit. */
export type Table = Record<string, unknown>;

/** One field as JSON Schema has it, with the centre's own words. */
export interface FieldSchema {
  type?: string;
  format?: string;
  enum?: string[];
  const?: string;
  default?: unknown;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  maxLength?: number;
  pattern?: string;
  required?: string[];
  properties?: Record<string, FieldSchema>;
  items?: FieldSchema;
  'x-title': Record<string, string>;
  'x-help'?: Record<string, string>;
  'x-unit'?: string;
}

export interface Kind {
  title: Record<string, string>;
  help: Record<string, string>;
  ways: string[];
  level_way: string;
  schema: { properties: Record<string, FieldSchema>; required: string[] };
}

export const SEVERITIES = ['', 'low', 'medium', 'high', 'critical'];
export const levelOf = (severity: string): number => Math.max(SEVERITIES.indexOf(severity), 1);
export const usOf = (iso: string): number => Date.parse(iso) * 1000;

/** In force, out of force: the word of a rule's state. */
export const stateOf = (rule: { enabled: boolean }): 'on' | 'off' => (rule.enabled ? 'on' : 'off');

/** File name of a path. */
export const fileOf = (origin: string): string => origin.slice(origin.lastIndexOf('/') + 1);

/** What a new rule begins with. */
export const fresh = (kind: string): Table => ({
  name: '',
  kind,
  title: { vi: '', en: '' },
  select: {},
  severity: 'medium',
  ...(kind === 'geofence' ? { mode: 'inside', area: [] } : {}),
});

/** The table without what does not belong to a kind: what another kind of rule keeps of it. */
export function asKind(table: Table, kind: string, schema: Kind): Table {
  const kept = Object.entries(table).filter(([name]) => name in schema.schema.properties && name !== 'kind');
  return { ...fresh(kind), ...Object.fromEntries(kept), kind };
}
