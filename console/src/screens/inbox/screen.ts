import Inbox from '@lucide/svelte/icons/inbox';

import { screen } from '$lib/screen';

export default screen({
  id: 'inbox',
  group: 'work',
  order: 40,
  icon: Inbox,
  can: 'report.read',
  phone: true,
  routes: {
    '/inbox': () => import('./Inbox.svelte'),
    '/inbox/:number': () => import('./Inbox.svelte'),
  },
});
