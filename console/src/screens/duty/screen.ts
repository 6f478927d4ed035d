import CalendarClock from '@lucide/svelte/icons/calendar-clock';

import { screen } from '$lib/screen';

export default screen({
  id: 'duty',
  group: 'work',
  order: 50,
  icon: CalendarClock,
  can: 'duty.read',
  routes: { '/duty': () => import('./Duty.svelte') },
});
