/**
 * What the phone keeps: things to be sent (`items`), and what was read, for when there is no line (`reads`).
 *
 * Everything belongs to one person (`who`, as `person:truc-ban`). What was read is forgotten when they sign out or
 * another person signs in; what waits to be sent stays until it is sent or thrown away by the same person.
 */
import { openDB, type DBSchema, type IDBPDatabase, type IDBPObjectStore } from 'idb';

import type { Item } from './model';

export interface Kept<T = unknown> {
  who: string;
  name: string;
  data: T;
  /** When it was read, µs. */
  at: number;
}

interface Shape extends DBSchema {
  items: { key: number; value: Item; indexes: { who: string } };
  reads: { key: [string, string]; value: Kept };
}

/** The things to be sent, within a transaction. */
export type Items = IDBPObjectStore<Shape, ['items'], 'items', 'readwrite'>;

let opened: Promise<IDBPDatabase<Shape>> | null = null;

export function db(): Promise<IDBPDatabase<Shape>> {
  opened ??= openDB<Shape>('thap-field', 1, {
    upgrade(made) {
      made.createObjectStore('items', { keyPath: 'id', autoIncrement: true }).createIndex('who', 'who');
      made.createObjectStore('reads', { keyPath: ['who', 'name'] });
    },
    terminated: () => (opened = null),
  }).catch((error: unknown) => {
    opened = null;
    throw error;
  });
  return opened;
}

/** Keep something that was read. Where nothing can be kept, it is there as long as the page is. */
export async function keep(who: string, name: string, data: unknown): Promise<void> {
  try {
    await (await db()).put('reads', { who, name, data, at: Date.now() * 1000 });
  } catch {
    // storage is full or forbidden
  }
}

export async function recall<T>(who: string, name: string): Promise<Kept<T> | null> {
  try {
    return ((await (await db()).get('reads', [who, name])) as Kept<T> | undefined) ?? null;
  } catch {
    return null;
  }
}

/** Forget what was read by anybody but `who`; by everybody where that is ''. */
export async function forget(who = ''): Promise<void> {
  try {
    const store = (await db()).transaction('reads', 'readwrite').store;
    for (let at = await store.openCursor(); at; at = await at.continue()) if (at.value.who !== who) await at.delete();
  } catch {
    // nothing was kept then
  }
}

/** What waits to be sent by a person, the oldest first. */
export const itemsOf = async (who: string): Promise<Item[]> => (await db()).getAllFromIndex('items', 'who', who);
