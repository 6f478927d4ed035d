import Megaphone from '@lucide/svelte/icons/megaphone';

import { screen } from '$lib/screen';

export default screen({
  id: 'warnings',
  group: 'work',
  order: 60,
  icon: Megaphone,
  can: 'warning.read',
  routes: {
    '/warnings': () => import('./Warnings.svelte'),
    '/warnings/new': () => import('./New.svelte'),
    '/warnings/:number': () => import('./One.svelte'),
  },
});
