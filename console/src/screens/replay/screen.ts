import History from '@lucide/svelte/icons/history';

import { screen } from '$lib/screen';

export default screen({
  id: 'replay',
  group: 'watch',
  order: 40,
  icon: History,
  can: 'history.read',
  routes: { '/replay': () => import('./Replay.svelte') },
});
