import SlidersHorizontal from '@lucide/svelte/icons/sliders-horizontal';

import { screen } from '$lib/screen';

export default screen({
  id: 'rules',
  group: 'manage',
  order: 10,
  icon: SlidersHorizontal,
  can: 'rule.read',
  routes: {
    '/rules': () => import('./List.svelte'),
    '/rules/figures': () => import('./Figures.svelte'),
    '/rules/opening': () => import('./Opening.svelte'),
    '/rules/new': () => import('./One.svelte'),
    '/rules/:name': () => import('./One.svelte'),
  },
});
