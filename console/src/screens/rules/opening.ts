/** Opening rules as the API has them. */
import type { Answer } from '$lib/api/client';

export type OpeningList = Answer<'/api/v1/opening-rules'>;
export type OpeningShown = OpeningList['rules'][number];
export type OpeningRule = OpeningShown['rule'];
export type Trial = Answer<'/api/v1/opening-rules/test', 'post'>;

export const freshOpening = (): OpeningShown => ({
  rule: { name: '', title: { vi: '{what}{where}', en: '{what}{where}' }, domains: [], conditions: [], severity: 3, cause: '{condition}', place: 'commune', metres: null, window: '2h', unit: 'commune', enabled: true },
  origin: '',
  replaces: false,
  version: 0,
  changed: null,
  changed_by: '',
  toml: '',
});

/** Parts of a text with commas between them. */
export const parts = (text: string): string[] => text.split(',').map((part) => part.trim()).filter(Boolean);
