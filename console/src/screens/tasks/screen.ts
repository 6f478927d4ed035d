import ListChecks from '@lucide/svelte/icons/list-checks';

import { screen } from '$lib/screen';

export default screen({
  id: 'tasks',
  group: 'work',
  order: 10,
  icon: ListChecks,
  can: 'incident.read',
  phone: true,
  routes: {
    '/tasks': () => import('./Tasks.svelte'),
    '/tasks/new': () => import('./NewIncident.svelte'),
    '/tasks/outbox': () => import('./Outbox.svelte'),
    '/tasks/:id': () => import('./Tasks.svelte'),
  },
});
