/**
 * Keyboard: each screen says which keys do what while it is shown; `?` lists them.
 *
 *     $effect(() => keys.bind('watch:keys', [{ keys: 'j', what: 'watch:keys.next', run: next }]));
 */
import { untrack } from 'svelte';
import { tinykeys } from 'tinykeys';

import { remembered } from './preferences.svelte';

export interface Binding {
  /** As tinykeys writes it: `j`, `Shift+?`, `g i` (one after the other), `$mod+Enter`. */
  keys: string;
  /** Message key of what it does. */
  what: string;
  run: (event: KeyboardEvent) => void;
  /** Also while a field has the focus. */
  inFields?: boolean;
}

/** What lies over the page has the keys for itself. */
const OVER = '[role=dialog], [role=alertdialog], [role=menu]';
/** Keys that belong to a control which has the focus. */
const OWN = new Set(['Enter', ' ', 'ArrowUp', 'ArrowDown', 'ArrowLeft', 'ArrowRight', 'Home', 'End']);
const PRESSED = 'button, a, summary, [role=row], [role^=menu], [role=tab], [role=option], [role=slider]';

/** A single character, or one after another, which somebody who speaks to the computer may say unmeant. */
const bare = (keys: string): boolean => !/\$mod|Control|Alt|Meta|Escape|^Arrow|^Enter/.test(keys);

const isField = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));

class Keys {
  /** Whether keys without Ctrl or ⌘ are on (WCAG 2.2, 2.1.4); `?` always is. */
  readonly single = remembered('single-keys', true, (value): value is boolean => typeof value === 'boolean');
  /** Groups in force, the shell's first: what `?` lists. */
  groups = $state.raw<{ title: string; bindings: Binding[] }[]>([]);

  /** Put a group in force; gives what ends it. `title` is a message key. */
  bind(title: string, bindings: Binding[]): () => void {
    const group = { title, bindings };
    untrack(() => (this.groups = [...this.groups, group])); // called in effects, which it must not wake
    const stop = tinykeys(
      window,
      Object.fromEntries(
        bindings.map((binding) => [
          binding.keys,
          (event: KeyboardEvent) => {
            if (!this.single.value && bare(binding.keys) && binding.keys !== 'Shift+?') return;
            if (!binding.inFields && (isField(event.target) || document.querySelector(OVER))) return;
            if (OWN.has(event.key) && event.target instanceof Element && event.target.closest(PRESSED)) return;
            event.preventDefault();
            binding.run(event);
          },
        ]),
      ),
    );
    return () => {
      stop();
      untrack(() => (this.groups = this.groups.filter((other) => other !== group)));
    };
  }
}

export const keys = new Keys();
