/**
 * Words of the screens: Vietnamese first, English second, from `src/messages/<language>/<namespace>.json`.
 *
 * A namespace is one screen; `common` is the shell's. `t('incidents:title')` reads a key of it, `t('close')` one of
 * `common`. What every screen may show is read at the start (ALWAYS), with the titles of all screens; the rest is read
 * with the screen that shows it (`needWords`). `{name}` in a message is filled from the second argument; a plural is
 * `key_one` and `key_other`, chosen by `count`.
 */
import i18next, { type i18n } from 'i18next';

export type Language = 'vi' | 'en';

const files = import.meta.glob<Record<string, unknown>>('../messages/*/*.json', { import: 'default' });
const engine: i18n = i18next.createInstance();
const state = $state({ language: 'vi' as Language, version: 0 });

/** Namespaces of parts that stand on any screen. */
const ALWAYS = ['common', 'watch', 'incidents', 'map', 'history'];
/** What is shown, or was: all of it is read in another language that is spoken. */
const wanted = new Set(ALWAYS);
const titles = { vi: () => import('virtual:titles/vi'), en: () => import('virtual:titles/en') };
/** What has been read, `vi/rules`. */
const there = new Set<string>();

const missing = (language: Language): string[] => ['titles', ...wanted].filter((namespace) => !there.has(`${language}/${namespace}`));

/** Read what is wanted in a language, and what is wanted meanwhile by a screen that loads. */
async function read(language: Language): Promise<void> {
  for (let some = missing(language); some.length; some = missing(language)) await fetchWords(language, some);
}

async function fetchWords(language: Language, some: readonly string[]): Promise<void> {
  await Promise.all(
    some.map(async (namespace) => {
      const found = namespace === 'titles' ? (await titles[language]()).default : { [namespace]: await files[`../messages/${language}/${namespace}.json`]!() };
      for (const [name, words] of Object.entries(found)) engine.addResourceBundle(language, name, words, true, true);
      there.add(`${language}/${namespace}`);
    }),
  );
  forget();
}

/** Read the messages of namespaces; to be awaited before what shows them is drawn. */
export async function needWords(...namespaces: string[]): Promise<void> {
  for (const namespace of namespaces) if (`../messages/vi/${namespace}.json` in files) wanted.add(namespace);
  for (let spoken: Language | null = null; spoken !== state.language; ) await read((spoken = state.language)); // it may change meanwhile
}

/** Read the messages of the language last chosen; to be awaited before anything is drawn. */
export async function startLanguage(): Promise<void> {
  const language: Language = document.documentElement.lang === 'en' ? 'en' : 'vi';
  await engine.init({
    lng: language,
    fallbackLng: false,
    resources: {},
    defaultNS: 'common',
    keySeparator: false,
    interpolation: { prefix: '{', suffix: '}', escapeValue: false },
    returnNull: false,
  });
  state.language = language;
  await read(language);
}

/** Speak another language from now on; every text on the screen changes. */
export async function speak(language: Language): Promise<void> {
  await read(language);
  await engine.changeLanguage(language);
  await read(language); // a screen may have begun to load while the language changed
  forget();
  document.documentElement.lang = language;
  try {
    localStorage.setItem('thap-language', language);
  } catch {
    // forbidden storage: it holds for this page
  }
  state.language = language;
  state.version += 1;
}

/** The language spoken now; reactive. */
export function language(): Language {
  return state.language;
}

/** What keys stand for in the language spoken, as found once: i18next takes ten times as long to find it again. */
let found = new Map<string, string>();
let known = new Map<string, boolean>();
let plurals = new Intl.PluralRules('vi');
const PART = /\{(\w+)\}/g;

function forget(): void {
  found = new Map();
  known = new Map();
  plurals = new Intl.PluralRules(engine.language);
}

/** A message. Reactive: what uses it is drawn anew when the language changes. */
export function t(key: string, values?: Record<string, string | number>): string {
  void state.version;
  const count = values?.['count'];
  const name = typeof count === 'number' ? `${key}\n${plurals.select(count)}` : key;
  let text = found.get(name);
  if (text === undefined) {
    text = engine.t(key, { ...(typeof count === 'number' && { count }), skipInterpolation: true });
    found.set(name, text);
  }
  return values ? text.replace(PART, (whole, part: string) => String(values[part] ?? whole)) : text;
}

/** A message, or `otherwise` where there is none of that key. */
export function tOr(key: string, otherwise: string, values?: Record<string, string | number>): string {
  void state.version;
  let exists = known.get(key);
  if (exists === undefined) known.set(key, (exists = engine.exists(key)));
  return exists ? t(key, values) : otherwise;
}

/** The text in the language spoken of what the centre keeps in both, as `{vi: …, en: …}`. */
export function said(texts: Record<string, string> | string | null | undefined): string {
  if (!texts) return '';
  if (typeof texts === 'string') return texts;
  return texts[state.language] || texts['vi'] || texts['en'] || Object.values(texts)[0] || '';
}
