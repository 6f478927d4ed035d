import Siren from '@lucide/svelte/icons/siren';

import { screen } from '$lib/screen';

export default screen({
  id: 'incidents',
  group: 'work',
  order: 20,
  icon: Siren,
  can: 'incident.read',
  phone: true,
  routes: {
    '/incidents': () => import('./List.svelte'),
    '/incidents/figures': () => import('./Figures.svelte'),
    '/incidents/:number': () => import('./One.svelte'),
  },
});
