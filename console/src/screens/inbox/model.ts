/** Citizens' reports as the console has them. */
import type { Answer } from '$lib/api/client';

export type Report = Answer<'/api/v1/reports'>['items'][number];
export type Whole = Answer<'/api/v1/reports/{number}'>;

export interface Attribute {
  code: string;
  datatype: 'string' | 'number' | 'datetime' | 'text' | 'singlevaluelist' | 'multivaluelist';
  required: boolean;
  description: string;
  values?: { key: string; name: string }[];
}
export interface Service {
  code: string;
  name: Record<string, string>;
  group: string;
  domain: string;
  severity: number;
  hidden: boolean;
  attributes: Attribute[];
}

export const STATES = ['received', 'accepted', 'in_progress', 'done', 'rejected', 'duplicate'] as const;
export const OPEN: readonly string[] = ['received', 'accepted', 'in_progress'];
export const tone = (state: string): string => ({ received: 'warn', accepted: '', in_progress: '', done: 'good', rejected: 'bad' })[state] ?? '';

export interface Piece {
  text: string;
  kind: 'same' | 'gone' | 'new';
}

/** What moderation changed: words that are gone from the original, words that stand in their place. */
export function changes(before: string, after: string): Piece[] {
  const a = before.match(/\s+|[^\s]+/g) ?? [];
  const b = after.match(/\s+|[^\s]+/g) ?? [];
  const width = b.length + 1;
  const common = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      common[i * width + j] = a[i] === b[j] ? (common[(i + 1) * width + j + 1] ?? 0) + 1 : Math.max(common[(i + 1) * width + j] ?? 0, common[i * width + j + 1] ?? 0);
  const pieces: Piece[] = [];
  const put = (text: string, kind: Piece['kind']) => {
    const last = pieces.at(-1);
    if (last?.kind === kind) last.text += text;
    else pieces.push({ text, kind });
  };
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      put(a[i] ?? '', 'same');
      i++;
      j++;
    } else if (j >= b.length || (i < a.length && (common[(i + 1) * width + j] ?? 0) >= (common[i * width + j + 1] ?? 0))) put(a[i++] ?? '', 'gone');
    else put(b[j++] ?? '', 'new');
  }
  return pieces;
}
