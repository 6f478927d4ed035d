import Radio from '@lucide/svelte/icons/radio-tower';

import { screen } from '$lib/screen';

export default screen({
  id: 'things',
  group: 'watch',
  order: 30,
  icon: Radio,
  can: 'thing.read',
  routes: {
    '/things': () => import('./Directory.svelte'),
    '/things/:name': () => import('./Thing.svelte'),
    '/movers/:key': () => import('./Mover.svelte'),
    '/datastreams': () => import('./Datastream.svelte'),
  },
});
