/** What a person arranged, kept in this browser. Storage may be forbidden or full: then it holds for this page. */

/** A remembered value: read it as `.value`, set it the same way. `fallback` where nothing, or another shape, is kept. */
export function remembered<T>(key: string, fallback: T, fits: (value: unknown) => value is T = (_value): _value is T => true) {
  const name = `thap-${key}`;
  let first = fallback;
  try {
    const kept = localStorage.getItem(name);
    if (kept !== null) {
      const value: unknown = JSON.parse(kept);
      if (fits(value)) first = value;
    }
  } catch {
    // as if nothing was kept
  }
  let value = $state(first);
  return {
    get value(): T {
      return value;
    },
    set value(next: T) {
      value = next;
      try {
        localStorage.setItem(name, JSON.stringify(next));
      } catch {
        // it holds for this page
      }
    },
  };
}

/** Forget everything remembered whose key begins so. */
export function forgetRemembered(beginning: string): void {
  try {
    for (const name of Object.keys(localStorage)) if (name.startsWith(`thap-${beginning}`)) localStorage.removeItem(name);
  } catch {
    // nothing was kept then
  }
}

class Theme {
  value = $state<'dark' | 'light'>(document.documentElement.dataset['theme'] === 'light' ? 'light' : 'dark');

  set(theme: 'dark' | 'light'): void {
    this.value = theme;
    document.documentElement.dataset['theme'] = theme;
    try {
      localStorage.setItem('thap-theme', theme);
    } catch {
      // it holds for this page
    }
  }

  toggle(): void {
    this.set(this.value === 'dark' ? 'light' : 'dark');
  }
}

export const theme = new Theme();
