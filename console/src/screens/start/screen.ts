import Rocket from '@lucide/svelte/icons/rocket';

import { screen } from '$lib/screen';

export default screen({
  id: 'start',
  group: 'manage',
  order: 10,
  icon: Rocket,
  can: 'thing.read',
  hidden: true,
  routes: { '/start': () => import('./StartPage.svelte') },
});
