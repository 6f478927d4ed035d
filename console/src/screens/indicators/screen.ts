import Gauge from '@lucide/svelte/icons/gauge';

import { screen } from '$lib/screen';

export default screen({
  id: 'indicators',
  group: 'measure',
  order: 15,
  icon: Gauge,
  can: 'thing.read',
  phone: true,
  routes: {
    '/indicators': () => import('./Wall.svelte'),
    '/indicators/show': () => import('./Show.svelte'),
    '/indicators/:id': () => import('./One.svelte'),
  },
});
