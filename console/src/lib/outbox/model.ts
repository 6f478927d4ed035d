/** What waits to be sent to the centre. */

export type Kind = 'done' | 'skip' | 'extend' | 'comment' | 'photo' | 'open' | 'survey';

/** The task as the person saw it when they acted on it. */
export interface TaskSeen {
  title: string;
  text: string;
  assignee: string;
  unit: string;
  version: number;
}

export interface Trouble {
  code: string;
  message: string;
  status: number;
  /** How the task stands at the centre, where that is why. */
  task?: { state: string; closed: number | null; closed_by: string; comment: string; version: number } | null;
}

export interface Item {
  id: number;
  who: string;
  /** Its Idempotency-Key: however often it is sent, it is done once. */
  key: string;
  kind: Kind;
  /** When the person did it, µs. */
  made: number;
  /** Address; `{17.incident}` stands for what the answer to item 17 will say. */
  path: string;
  body: Record<string, unknown> | null;
  file: { bytes: ArrayBuffer; type: string } | null;
  /** `waiting` to be sent; `conflict`: changed at the centre meanwhile; `refused` for another reason. */
  state: 'waiting' | 'conflict' | 'refused';
  tries: number;
  trouble: Trouble | null;
  /** Items that must be sent before. */
  needs: number[];
  task: number | null;
  incident: number | null;
  /** Of a photo: which of the things the task wants it is. */
  attach: string;
  /** What it is about, as the person read it. */
  title: string;
  /** The person's own words. */
  text: string;
  seen: TaskSeen | null;
}

export type Draft = Pick<Item, 'kind' | 'path'> & Partial<Pick<Item, 'body' | 'file' | 'needs' | 'task' | 'incident' | 'attach' | 'title' | 'text' | 'seen'>>;

/** A photo of a task that the centre has, by the number of its link. */
export interface Evidence {
  attach: string;
  link: number;
  at: number;
}

/** What the answers say that other items may wait for. */
export type Results = Partial<Record<'incident' | 'link', number>>;

const put = (text: string, id: number, results: Results): string =>
  text.replace(new RegExp(`\\{${id}\\.(\\w+)\\}`, 'g'), (whole, name: string) => String(results[name as keyof Results] ?? whole));

/** An item after another one was sent, with what its answer said put in. */
export function settled(item: Item, id: number, results: Results): Item {
  if (!item.needs.includes(id)) return item;
  return {
    ...item,
    needs: item.needs.filter((other) => other !== id),
    path: put(item.path, id, results),
    body: item.body && (JSON.parse(put(JSON.stringify(item.body), id, results)) as Item['body']),
    incident: item.incident ?? results.incident ?? null,
  };
}

/** An item after another one was thrown away: what it named of it is left out. Null where it makes no sense without. */
export function bereft(item: Item, id: number): Item | null {
  if (!item.needs.includes(id)) return item;
  const mark = `{${id}.`;
  if (item.path.includes(mark)) return null;
  const evidence = item.body?.['evidence'];
  const body = Array.isArray(evidence) ? { ...item.body, evidence: evidence.filter((one) => !String(one).includes(mark)) } : item.body;
  return { ...item, body, needs: item.needs.filter((other) => other !== id) };
}

/** What of the queue can be sent now, in order: nothing that waits for what is stuck, or acts on the same task after it. */
export function ready(items: readonly Item[]): Item[] {
  const stuck = new Set<number>();
  const tasks = new Set<number>();
  const found: Item[] = [];
  for (const item of items) {
    const blocked = item.state !== 'waiting' || item.needs.some((id) => stuck.has(id)) || (item.task !== null && tasks.has(item.task));
    if (!blocked) found.push(item);
    else {
      stuck.add(item.id);
      if (item.task !== null && item.kind !== 'photo' && item.kind !== 'comment') tasks.add(item.task);
    }
  }
  return found;
}
