/** Short remarks at the edge of the screen, and errors in words. */
import { toast as sonner } from 'svelte-sonner';

import { ApiError } from './api/client';
import { t, tOr } from './i18n.svelte';

/** An error in the language spoken, with what the centre said of it. */
export function because(error: unknown): string {
  if (!(error instanceof ApiError)) return t('error.other');
  if (error.offline) return t('error.offline');
  const words = tOr(`error.${error.code}`, '');
  const detail = [error.message, error.where && `(${error.where})`, error.hint].filter(Boolean).join(' · ');
  return words ? (error.status === 409 || error.status === 422 || error.status === 400 ? `${words} ${detail}` : words) : detail || t('error.other');
}

export const toast = {
  say: (text: string) => void sonner(text),
  good: (text: string) => void sonner.success(text),
  bad: (error: unknown) => void sonner.error(typeof error === 'string' ? error : because(error), { duration: 10_000 }),
  /** With something to do about it. */
  act: (text: string, label: string, run: () => void) => void sonner.warning(text, { duration: 8_000, action: { label, onClick: run } }),
  /** With a way back. */
  undo: (text: string, undo: () => void) => void sonner(text, { duration: 10_000, action: { label: t('undo'), onClick: undo } }),
};
