/** A question before a page is left on which something typed was not kept. */
import { blockNavigation } from 'sv-router';

import { confirm } from './confirm.svelte';
import { t } from './i18n.svelte';

/**
 * Ask before this page is left while `dirty()`; gives what ends it.
 *
 *     $effect(() => unsaved(() => dirty));
 */
export const unsaved = (dirty: () => boolean): (() => void) =>
  blockNavigation({
    beforeUnload: () => !dirty(),
    onNavigate: async () => !dirty() || (await confirm({ title: t('unsaved.title'), text: t('unsaved.text'), yes: t('unsaved.leave'), danger: true })) !== null,
  });
