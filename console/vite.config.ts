import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

import { pwa } from './pwa.ts';
import { titles } from './titles.ts';

/** `npm run dev` serves the console before a centre that runs elsewhere: THAP_URL. */
const centre = process.env.THAP_URL ?? 'http://127.0.0.1:8000';

export default defineConfig({
  plugins: [svelte(), titles(), pwa()],
  resolve: { alias: { $lib: '/src/lib' } },
  build: {
    outDir: '../src/thap/web/console/dist',
    emptyOutDir: true,
    target: 'es2022',
    manifest: true,
    reportCompressedSize: false,
    chunkSizeWarningLimit: 1500,
    assetsInlineLimit: 0, // the content security policy allows no data: fonts and no inline scripts
  },
  worker: { format: 'es' },
  server: {
    proxy: {
      '/api': { target: centre, ws: true },
      '/session': centre,
    },
  },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
} as Parameters<typeof defineConfig>[0]);
