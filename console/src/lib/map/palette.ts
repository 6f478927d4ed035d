/** The map's colours are the console's: read from the tokens of the theme in force. */
export interface Palette {
  sea: string;
  land: string;
  line: string;
  strong: string;
  text: string;
  muted: string;
  halo: string;
  water: string;
  accent: string;
  onAccent: string;
  thing: string;
  incident: string;
  severity: [string, string, string, string];
  dark: boolean;
}

export function palette(): Palette {
  const style = getComputedStyle(document.documentElement);
  const token = (name: string) => style.getPropertyValue(`--${name}`).trim();
  const dark = document.documentElement.dataset['theme'] !== 'light';
  return {
    sea: dark ? '#0b1620' : '#dbe8f0',
    land: dark ? '#18212a' : '#fbfbf8',
    line: token('line-strong'),
    strong: token('muted'),
    text: token('text'),
    muted: token('muted'),
    halo: dark ? '#0d1319' : '#ffffff',
    water: dark ? '#2a5d84' : '#8fbfe0',
    accent: token('accent'),
    onAccent: token('on-accent'),
    thing: dark ? '#7fd6c2' : '#0f7a66',
    incident: dark ? '#d8b4fe' : '#6b21a8',
    severity: [token('sev-1'), token('sev-2'), token('sev-3'), token('sev-4')],
    dark,
  };
}
