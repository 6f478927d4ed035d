import MapIcon from '@lucide/svelte/icons/map';

import { screen } from '$lib/screen';

export default screen({
  id: 'map',
  group: 'watch',
  order: 20,
  icon: MapIcon,
  can: 'thing.read',
  phone: true,
  routes: { '/map': () => import('./Map.svelte') },
});
