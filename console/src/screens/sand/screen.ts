import Shovel from '@lucide/svelte/icons/shovel';

import { screen } from '$lib/screen';

export default screen({
  id: 'sand',
  group: 'domain',
  order: 70,
  icon: Shovel,
  can: 'register.read',
  routes: {
    '/sand': () => import('./Sand.svelte'),
    '/sand/licences/:key': () => import('./Licence.svelte'),
    '/sand/violations/:number': () => import('./Violation.svelte'),
    '/sand/import/:part': () => import('./Import.svelte'),
    '/sand/corners': () => import('./Corners.svelte'),
  },
});
