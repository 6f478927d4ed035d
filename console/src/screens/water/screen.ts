import Waves from '@lucide/svelte/icons/waves';

import { screen } from '$lib/screen';

export default screen({
  id: 'water',
  group: 'domain',
  order: 50,
  icon: Waves,
  can: 'thing.read',
  routes: {
    '/water': () => import('./Stations.svelte'),
    '/water/stations/:thing': () => import('./Station.svelte'),
    '/water/salinity': () => import('./Salinity.svelte'),
    '/water/air': () => import('./Air.svelte'),
  },
});
