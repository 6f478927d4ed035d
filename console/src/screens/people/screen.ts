import Users from '@lucide/svelte/icons/users';

import { screen } from '$lib/screen';

export default screen({
  id: 'people',
  group: 'manage',
  order: 20,
  icon: Users,
  can: 'people.read',
  routes: {
    '/people': () => import('./People.svelte'),
    '/people/units': () => import('./Units.svelte'),
    '/people/roles': () => import('./Roles.svelte'),
    '/people/restrictions': () => import('./Restrictions.svelte'),
    '/people/why': () => import('./Why.svelte'),
    '/people/:login': () => import('./Person.svelte'),
  },
});
