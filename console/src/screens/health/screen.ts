import HeartPulse from '@lucide/svelte/icons/heart-pulse';

import { screen } from '$lib/screen';

export default screen({
  id: 'health',
  group: 'manage',
  order: 60,
  icon: HeartPulse,
  can: 'system.read',
  routes: { '/health': () => import('./Health.svelte') },
});
