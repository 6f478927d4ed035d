import Wheat from '@lucide/svelte/icons/wheat';

import { screen } from '$lib/screen';

export default screen({
  id: 'rice',
  group: 'domain',
  order: 30,
  icon: Wheat,
  can: 'register.read',
  messages: ['tasks'],
  routes: {
    '/rice': () => import('./Rice.svelte'),
    '/rice/survey': () => import('./SurveyForm.svelte'),
    '/rice/advice/:number': () => import('./Advice.svelte'),
    '/rice/traps/:name': () => import('./Trap.svelte'),
    '/rice/bulletins/:number': () => import('./Bulletin.svelte'),
  },
});
