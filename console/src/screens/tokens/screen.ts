import KeyRound from '@lucide/svelte/icons/key-round';

import { screen } from '$lib/screen';

export default screen({
  id: 'tokens',
  group: 'manage',
  order: 30,
  icon: KeyRound,
  can: 'token.write',
  messages: ['people'],
  routes: { '/tokens': () => import('./Tokens.svelte') },
});
