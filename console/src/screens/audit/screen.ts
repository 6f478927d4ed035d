import ScrollText from '@lucide/svelte/icons/scroll-text';

import { screen } from '$lib/screen';

export default screen({
  id: 'audit',
  group: 'manage',
  order: 70,
  icon: ScrollText,
  can: 'audit.read',
  routes: { '/audit': () => import('./Audit.svelte') },
});
