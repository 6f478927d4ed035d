/** Warnings as they are written, in CAP's words. */
import type { Answer } from '$lib/api/client';
import { tOr } from '$lib/i18n.svelte';

export type Warning = Answer<'/api/v1/warnings'>['items'][number];
export type Life = Answer<'/api/v1/warnings/{number}'>;

export interface Both {
  vi: string;
  en: string;
}
export interface Draft {
  status: 'Actual' | 'Exercise' | 'Test';
  categories: string[];
  event: Both;
  responses: string[];
  urgency: string;
  severity: string;
  certainty: string;
  /** µs */
  onset: number | null;
  expires: number | null;
  headline: Both;
  description: Both;
  instruction: Both;
  web: string;
  contact: string;
  note: string;
  communes: string[];
  /** Rings of [longitude, latitude]. */
  polygons: number[][][];
}

export const CATEGORIES = ['Geo', 'Met', 'Safety', 'Security', 'Rescue', 'Fire', 'Health', 'Env', 'Transport', 'Infra', 'CBRNE', 'Other'] as const;
export const RESPONSES = ['Shelter', 'Evacuate', 'Prepare', 'Execute', 'Avoid', 'Monitor', 'Assess', 'AllClear', 'None'] as const;
export const URGENCIES = ['Immediate', 'Expected', 'Future', 'Past', 'Unknown'] as const;
export const SEVERITIES = ['Extreme', 'Severe', 'Moderate', 'Minor', 'Unknown'] as const;
export const CERTAINTIES = ['Observed', 'Likely', 'Possible', 'Unlikely', 'Unknown'] as const;
export const STATES = ['draft', 'submitted', 'returned', 'published', 'withdrawn'] as const;
export const HEADLINE = 160;

export const blank = (): Draft => ({
  status: 'Actual', categories: [], event: { vi: '', en: '' }, responses: [], urgency: 'Unknown', severity: 'Unknown', certainty: 'Unknown', onset: null, expires: null,
  headline: { vi: '', en: '' }, description: { vi: '', en: '' }, instruction: { vi: '', en: '' }, web: '', contact: '', note: '', communes: [], polygons: [],
});

/** A draft as the centre gave it, whole. */
export const draftOf = (given: unknown): Draft => ({ ...blank(), ...structuredClone(given as Draft) });

/** CAP's severity as one of four levels. */
export const level = (severity: string): number => ({ Extreme: 4, Severe: 3, Moderate: 2, Minor: 1 })[severity] ?? 2;

/** What the centre says is missing, in the language spoken. */
export const missingWords = (message: string): string =>
  tOr(`warnings:missing.${message.toLowerCase().replace(/[^a-z]+/g, '_').replace(/^_|_$/g, '')}`, message);

export type Wrong = (where: string) => string;
/** What is missing, by field. */
export const wrongOf =
  (missing: Life['missing']): Wrong =>
  (where) =>
    missing
      .filter((one) => one.where === where)
      .map((one) => missingWords(one.message))
      .join(' ');

export const tone = (state: string): string => ({ published: 'good', submitted: 'warn', returned: 'bad' })[state] ?? '';
