import '@fontsource/be-vietnam-pro/latin-400.css';
import '@fontsource/be-vietnam-pro/vietnamese-400.css';
import '@fontsource/be-vietnam-pro/latin-600.css';
import '@fontsource/be-vietnam-pro/vietnamese-600.css';
import './styles/tokens.css';
import './styles/base.css';

import { mount } from 'svelte';

import App from './App.svelte';
import { startLanguage } from './lib/i18n.svelte';

// A part that this page needs cannot be had. Where that is because a newer console was put in place, and the parts of
// this one are gone, the page is loaded anew; not where the line is down.
window.addEventListener('vite:preloadError', (event) => {
  // A style sheet that did not come would count as there when the part is asked for again.
  for (const link of document.querySelectorAll<HTMLLinkElement>('link[rel=stylesheet]')) if (event.payload.message.includes(link.href)) link.remove();
  const entry = document.querySelector<HTMLScriptElement>('script[type=module][src]')?.getAttribute('src');
  if (!entry) return;
  void fetch('/', { cache: 'no-store' })
    .then(async (answer) => answer.ok && !(await answer.text()).includes(entry) && location.reload())
    .catch(() => undefined);
});

const target = document.getElementById('app');
if (!target) throw new Error('index.html has no #app');
await startLanguage();
mount(App, { target });
