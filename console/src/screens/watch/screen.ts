import Radar from '@lucide/svelte/icons/radar';

import { screen } from '$lib/screen';

export default screen({
  id: 'watch',
  group: 'watch',
  order: 10,
  icon: Radar,
  can: 'alarm.read',
  phone: true,
  routes: { '/': () => import('./Watch.svelte'), '/alarms/:id': () => import('./Alarm.svelte') },
});
