import MailX from '@lucide/svelte/icons/mail-x';

import { screen } from '$lib/screen';

export default screen({
  id: 'dead-letters',
  group: 'manage',
  order: 50,
  icon: MailX,
  can: 'system.read',
  messages: ['tokens'],
  routes: { '/dead-letters': () => import('./DeadLetters.svelte') },
});
