import Cctv from '@lucide/svelte/icons/cctv';

import { screen } from '$lib/screen';

export default screen({
  id: 'cameras',
  group: 'watch',
  order: 35,
  icon: Cctv,
  can: 'camera.view',
  messages: ['things'],
  routes: {
    '/cameras': () => import('./Cameras.svelte'),
    '/cameras/forecast': () => import('./Forecast.svelte'),
    '/cameras/wall': () => import('./Wall.svelte'),
    '/cameras/:name': () => import('./Camera.svelte'),
    '/cameras/:name/scene': () => import('./Scene.svelte'),
  },
});
