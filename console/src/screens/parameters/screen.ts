import SlidersHorizontal from '@lucide/svelte/icons/sliders-horizontal';

import { screen } from '$lib/screen';

export default screen({
  id: 'parameters',
  group: 'manage',
  order: 15,
  icon: SlidersHorizontal,
  can: 'register.read',
  routes: {
    '/parameters': () => import('./Parameters.svelte'),
    '/parameters/:domain': () => import('./Parameters.svelte'),
  },
});
