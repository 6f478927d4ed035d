import Hourglass from '@lucide/svelte/icons/hourglass';

import { screen } from '$lib/screen';

export default screen({
  id: 'quarantine',
  group: 'manage',
  order: 40,
  icon: Hourglass,
  can: 'quarantine.act',
  messages: ['tokens'],
  routes: { '/quarantine': () => import('./Quarantine.svelte') },
});
