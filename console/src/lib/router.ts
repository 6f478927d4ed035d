/** Addresses of the console, gathered from its screens (see screen.ts). */
import { createRouter, type LazyRouteComponent, type Routes } from 'sv-router';

import { needWords } from './i18n.svelte';
import type { Screen } from './screen';

const found = import.meta.glob<Screen>('../screens/*/screen.ts', { eager: true, import: 'default' });

/** All screens, in the order of the navigation. */
export const screens: readonly Screen[] = Object.values(found).sort((a, b) => a.order - b.order);

/** A screen is there when its messages are. */
function withWords(one: Screen, load: LazyRouteComponent): LazyRouteComponent {
  const both = async () => (await Promise.all([load(), needWords(one.id, ...(one.messages ?? []))]))[0];
  both.toString = () => String(load); // by its text the router knows what is still to be loaded
  return both;
}

const routes: Routes = { '*': () => import('../NotFound.svelte') };
for (const one of screens) for (const [path, load] of Object.entries(one.routes)) routes[path as `/${string}`] = withWords(one, load);

const router = createRouter(routes);

/** Go to an address of the console, `/incidents/5?tab=tasks`. */
export function go(path: string, options: { replace?: boolean } = {}): void {
  const [pathname = '/', search = ''] = path.split('?');
  void router.navigate(pathname as never, { replace: options.replace, search: Object.fromEntries(new URLSearchParams(search)) } as never);
}

export const route = router.route as {
  readonly params: Record<string, string>;
  readonly pathname: string;
  readonly search: Record<string, string | number | boolean>;
};
