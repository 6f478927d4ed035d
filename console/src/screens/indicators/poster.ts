/** The wall as a picture, drawn by the browser. Lazy: imported when somebody asks for it. */
import { absolute, nowUs } from '$lib/format';
import { t } from '$lib/i18n.svelte';
import { download } from '$lib/history/save';

import { bounds, byTheme, parts, textOf, titleOf, why, type Item, type Light, type Wall } from './model';

const WIDTH = 1920;
const COLUMNS = 4;
const EDGE = 40;
const GAP = 16;
const TILE = 148;
const HUES: Record<Light, string> = { good: '--good', warn: '--warn', bad: '--bad', unknown: '--muted', none: '--line-strong' };

/** Draw it, and hand it over as a file. */
export async function savePoster(wall: Wall): Promise<void> {
  const groups = byTheme(wall);
  const tall = groups.reduce((sum, one) => sum + 60 + Math.ceil(one.items.length / COLUMNS) * (TILE + GAP), 130);
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [WIDTH, tall];
  const context = canvas.getContext('2d');
  if (!context) throw new Error('no canvas');
  await document.fonts.ready;
  const style = getComputedStyle(document.documentElement);
  const hue = (name: string) => style.getPropertyValue(name).trim();
  const face = getComputedStyle(document.body).fontFamily;
  const write = (text: string, x: number, y: number, size: number, colour = '--text', weight = 400, most = 10_000) => {
    context.font = `${weight} ${size}px ${face}`;
    context.fillStyle = hue(colour);
    context.fillText(clipped(context, text, most), x, y);
    return context.measureText(text).width;
  };
  context.fillStyle = hue('--bg');
  context.fillRect(0, 0, WIDTH, tall);
  write(t('indicators:title'), EDGE, 62, 36, '--text', 600);
  write(absolute(nowUs()), EDGE, 98, 20, '--muted');
  let y = 130;
  const wide = (WIDTH - 2 * EDGE - (COLUMNS - 1) * GAP) / COLUMNS;
  for (const group of groups) {
    write(group.title, EDGE, y + 30, 24, '--text', 600);
    y += 46;
    group.items.forEach((item, index) => {
      tile(item, EDGE + (index % COLUMNS) * (wide + GAP), y + Math.floor(index / COLUMNS) * (TILE + GAP));
    });
    y += Math.ceil(group.items.length / COLUMNS) * (TILE + GAP) + 14;
  }

  function tile(item: Item, x: number, top: number) {
    if (!context) return;
    context.fillStyle = hue('--surface');
    context.fillRect(x, top, wide, TILE);
    context.fillStyle = hue(HUES[item.light]);
    context.fillRect(x, top, 6, TILE);
    const room = wide - 34;
    write(titleOf(item), x + 20, top + 30, 20, '--text', 600, room);
    const [figure, unit] = parts(item.value, item);
    if (item.value === null) write(why(item), x + 20, top + 74, 20, '--muted', 400, room);
    else {
      const taken = write(figure, x + 20, top + 78, 38, '--text', 600);
      write(unit, x + 30 + taken, top + 78, 20, '--muted', 400, room - taken);
    }
    const target = bounds(item);
    const word = item.light === 'none' ? '' : t(`indicators:light.${item.light}`);
    write([word, target && t('indicators:target.short', { target })].filter(Boolean).join(' · '), x + 20, top + 108, 17, item.light === 'none' ? '--muted' : HUES[item.light], 600, room);
    write([textOf(item.source), item.time === null ? '' : absolute(item.time), item.stale ? t('indicators:stale') : ''].filter(Boolean).join(' · '), x + 20, top + 134, 15, '--faint', 400, room);
  }

  const content = await new Promise<Blob | null>((done) => canvas.toBlob(done, 'image/png'));
  if (!content) throw new Error('no picture');
  download('indicators.png', content);
}

function clipped(context: CanvasRenderingContext2D, text: string, most: number): string {
  if (context.measureText(text).width <= most) return text;
  let short = text;
  while (short.length > 1 && context.measureText(`${short}…`).width > most) short = short.slice(0, -1);
  return `${short}…`;
}
