/** What the registry's endpoints answer, which its document does not spell out. */
import { fold } from '$lib/format';
import { tOr } from '$lib/i18n.svelte';

export interface Latest {
  time: number;
  received: number;
  result: number | null;
}

export interface Stream {
  key: string;
  name: string;
  property: string;
  unit: string;
  latest: Latest | null;
}

export interface Thing {
  name: string;
  title: string;
  kind: string;
  domain: string;
  lon: number | null;
  lat: number | null;
  commune: string;
  properties: Record<string, unknown>;
}

export interface ListedThing extends Thing {
  datastreams: number;
  heard: number;
}

export interface WholeThing extends Thing {
  datastreams: Stream[];
}

export interface ListedStream extends Stream {
  thing: string;
  domain: string;
  kind: string;
  commune: string;
}

export interface Fix {
  time: number;
  received: number;
  lon: number;
  lat: number;
  speed_kn: number | null;
  course_deg: number | null;
}

export interface Mover {
  key: string;
  name: string;
  kind: string;
  domain: string;
  commune?: string;
  properties: Record<string, unknown>;
  latest: Fix | null;
}

export interface Listing<T> {
  items: T[];
  next: string | null;
}

export const kindName = (kind: string): string => (kind ? tOr(`kind.${kind}`, kind) : '');
export const domainName = (domain: string): string => (domain ? tOr(`domain.${domain}`, domain) : '');
export const propertyName = (stream: { property: string; name: string }): string => tOr(`things:property.${stream.property}`, stream.property || stream.name);
export const byName = (a: string, b: string): number => fold(a).localeCompare(fold(b));
