/** On every screen, a new critical alarm is heard and said. */
import { alarms } from '$lib/alarms.svelte';
import { t } from '$lib/i18n.svelte';
import { go } from '$lib/router';
import { selection } from '$lib/selection.svelte';
import { toast } from '$lib/toast';

import { sound } from './sound.svelte';

const TOLD_MS = 3000;

export default function start(): () => void {
  let told = 0;
  let more = 0;
  return alarms.onAnnunciated((event) => {
    if (event.severity < 4) return;
    void sound.ring();
    if (Date.now() - told < TOLD_MS) {
      more += 1; // in a flood one remark in three seconds, with how many came meanwhile
      return;
    }
    told = Date.now();
    toast.act(t(more ? 'watch:new_more' : 'watch:new', { title: alarms.title(event), source: event.source, count: more }), t('open'), () => {
      selection.select('alarm', event.alarm);
      go('/');
    });
    more = 0;
  });
}
