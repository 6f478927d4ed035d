/**
 * `virtual:titles/<language>`: what the navigation says of each screen, its `title` and `short` of
 * `src/messages/<language>/<screen>.json`, by screen. So the rest of a screen's messages is read with the screen.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import type { Plugin } from 'vite';

const NAME = 'virtual:titles/';
const MESSAGES = fileURLToPath(new URL('src/messages/', import.meta.url));

export function titles(): Plugin {
  return {
    name: 'thap-titles',
    resolveId: (id) => (id.startsWith(NAME) ? `\0${id}` : undefined),
    load(id) {
      if (!id.startsWith(`\0${NAME}`)) return undefined;
      const folder = `${MESSAGES}${id.slice(NAME.length + 1)}/`;
      const found: Record<string, Record<string, string>> = {};
      for (const file of readdirSync(folder).sort()) {
        this.addWatchFile(folder + file);
        const { title, short } = JSON.parse(readFileSync(folder + file, 'utf-8')) as Record<string, string>;
        if (title) found[file.slice(0, -'.json'.length)] = { title, ...(short && { short }) };
      }
      return `export default ${JSON.stringify(found)}`;
    },
  };
}
