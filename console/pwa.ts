/** Builds the service worker (src/sw/sw.ts → /sw.js) after the console, with the list of the files it keeps. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { build, type Plugin } from 'vite';

/** Larger files (maps, charts) are kept when they are first used, not before. */
const MODEST = 300_000;
const ROOT_FILES = ['index.html', 'theme.js', 'icon.svg', 'icon-192.png', 'manifest.webmanifest'];

export function pwa(): Plugin {
  let outDir = '';
  return {
    name: 'thap-pwa',
    apply: 'build',
    configResolved: (config) => {
      outDir = fileURLToPath(new URL(config.build.outDir, `file://${config.root}/`));
    },
    writeBundle: {
      sequential: true,
      async handler() {
        const assets = readdirSync(`${outDir}/assets`).filter((name) => /\.(js|css|woff2)$/.test(name) && statSync(`${outDir}/assets/${name}`).size <= MODEST);
        const digest = createHash('sha256').update(assets.sort().join('\n'));
        for (const name of ROOT_FILES) digest.update(readFileSync(`${outDir}/${name}`));
        const files = { version: digest.digest('hex').slice(0, 16), shell: [...ROOT_FILES.map((name) => `/${name}`), ...assets.map((name) => `/assets/${name}`)] };
        await build({
          configFile: false,
          logLevel: 'warn',
          publicDir: false,
          define: { __FILES__: JSON.stringify(files) },
          build: {
            outDir,
            emptyOutDir: false,
            target: 'es2022',
            reportCompressedSize: false,
            modulePreload: false,
            rollupOptions: { input: fileURLToPath(new URL('src/sw/sw.ts', import.meta.url)), output: { format: 'iife', entryFileNames: 'sw.js' } },
          },
        });
      },
    },
  };
}
