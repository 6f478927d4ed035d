/** What of the incidents somebody wants to see: as the address has it, as the API takes it, and as a test of one. */
import { fold } from '../format';
import { LIVE, type Incident } from './model';

export interface IncidentFilter {
  /** Empty: those that are live. `all`: every state. */
  states: readonly string[];
  domains: readonly string[];
  severities: readonly number[];
  communes: readonly string[];
  /** Responsible units; `82` is the province. */
  units: readonly string[];
  mine: boolean;
  late: boolean;
  /** Only those all of whose alarms have cleared. */
  cleared: boolean;
  text: string;
  sort: Sort;
}
export const SORTS = ['-opened', 'opened', '-changed', 'changed', '-severity', 'severity', 'due', '-due'] as const;
export type Sort = (typeof SORTS)[number];

export const PLAIN: IncidentFilter = {
  states: [], domains: [], severities: [], communes: [], units: [], mine: false, late: false, cleared: false, text: '', sort: '-opened',
};

const list = (text: string | null): string[] => (text ? text.split(',').filter(Boolean) : []);

export function filterOf(search: URLSearchParams): IncidentFilter {
  const sort = search.get('sort') as Sort | null;
  return {
    states: list(search.get('state')),
    domains: list(search.get('domain')),
    severities: list(search.get('severity')).map(Number).filter((level) => level >= 1 && level <= 4),
    communes: list(search.get('commune')),
    units: list(search.get('unit')),
    mine: search.get('mine') === 'true',
    late: search.get('late') === 'true',
    cleared: search.get('cleared') === 'true',
    text: search.get('text') ?? '',
    sort: sort && SORTS.includes(sort) ? sort : '-opened',
  };
}

/** The part of an address after `?`; '' for the plain filter. */
export function searchOf(filter: IncidentFilter): string {
  const search = new URLSearchParams();
  const put = (name: string, values: readonly (string | number)[]) => values.length && search.set(name, values.join(','));
  put('state', filter.states);
  put('domain', filter.domains);
  put('severity', filter.severities);
  put('commune', filter.communes);
  put('unit', filter.units);
  for (const name of ['mine', 'late', 'cleared'] as const) if (filter[name]) search.set(name, 'true');
  if (filter.text) search.set('text', filter.text);
  if (filter.sort !== '-opened') search.set('sort', filter.sort);
  return search.toString().replaceAll('%2C', ',');
}

/** As the query of `/api/v1/incidents`; `me` is the login of who asks. */
export function queryOf(filter: IncidentFilter, me: string): Record<string, string | boolean | readonly (string | number)[] | undefined> {
  return {
    state: filter.states.includes('all') ? undefined : filter.states.length ? filter.states : LIVE,
    domain: filter.domains,
    severity: filter.severities,
    commune: filter.communes,
    unit: filter.units,
    owner: filter.mine ? me : undefined,
    late: filter.late || undefined,
    cleared: filter.cleared || undefined,
    text: filter.text,
  };
}

/** Whether one is among what the filter wants, as far as that can be said without asking the centre. */
export function fits(one: Incident, filter: IncidentFilter, me: string, nowUs: number): boolean {
  const states = filter.states.length ? filter.states : LIVE;
  const text = fold(filter.text);
  return (
    (states.includes('all') || states.includes(one.state)) &&
    (!filter.domains.length || filter.domains.includes(one.domain)) &&
    (!filter.severities.length || filter.severities.includes(one.severity)) &&
    (!filter.communes.length || filter.communes.includes(one.commune)) &&
    (!filter.units.length || filter.units.includes(one.unit || '82')) &&
    (!filter.mine || one.owner === me) &&
    (!filter.late || (LIVE.includes(one.state) && one.due !== null && one.due < nowUs)) &&
    (!text || fold(one.title).includes(text) || fold(one.description).includes(text))
  );
}

const NEVER = 2 ** 62;
const valueOf = (one: Incident, column: string): number =>
  (column === 'due' ? one.due ?? NEVER : column === 'changed' ? one.changed : column === 'severity' ? one.severity : one.opened);

/** The order of the list; equal ones by number, as the centre has it. */
export function comparing(sort: Sort): (a: Incident, b: Incident) => number {
  const down = sort.startsWith('-');
  const column = sort.replace('-', '');
  return (a, b) => (down ? -1 : 1) * (valueOf(a, column) - valueOf(b, column) || a.id - b.id);
}
