/**
 * What a screen says of itself. Each is a folder of `src/screens/` with a `screen.ts`; nothing else names it.
 *
 *     export default screen({ id: 'incidents', group: 'work', order: 20, icon: Siren, can: 'incident.read',
 *       routes: { '/incidents': () => import('./List.svelte'), '/incidents/:number': () => import('./One.svelte') } });
 *
 * The first route is the entry in the navigation, titled by the message `<id>:title` (namespace = id).
 */
import type { Component } from 'svelte';
import type { LazyRouteComponent } from 'sv-router';

export type Group = 'watch' | 'work' | 'domain' | 'measure' | 'manage';

export interface Screen {
  /** Name of the folder, of the message namespace. */
  id: string;
  group: Group;
  /** Place within the group. */
  order: number;
  icon: Component;
  /** The action it takes (`thap.kernel.policy.ACTIONS`); '' for everybody. Without it the screen is not offered. */
  can: string;
  routes: Record<`/${string}`, LazyRouteComponent>;
  /** Namespaces of messages it shows besides its own, of parts that it shares with other screens. */
  messages?: string[];
  /** Reached from elsewhere only. */
  hidden?: boolean;
  /** Offered on the phone's bar. */
  phone?: boolean;
}

export const screen = (made: Screen): Screen => made;
