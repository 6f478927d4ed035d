import Settings2 from '@lucide/svelte/icons/settings-2';

import { screen } from '$lib/screen';

export default screen({
  id: 'settings',
  group: 'manage',
  order: 80,
  icon: Settings2,
  can: 'system.write',
  routes: {
    '/settings': () => import('./Settings.svelte'),
    '/settings/calendar': () => import('./Calendar.svelte'),
    '/settings/procedures': () => import('./Procedures.svelte'),
    '/settings/procedures/:name': () => import('./Procedure.svelte'),
  },
});
