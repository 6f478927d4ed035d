/** Leaving the page with what it shows: files for a person's own use. */
import { readRaw, readSeries, iso } from './series';

const MOST_RAW = 100_000;
const BUCKETS = 20_000;

export function download(name: string, content: Blob): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** A cell of a table: quoted where it must be, and never a formula to a spreadsheet. */
export function cell(value: string | number | null): string {
  if (value === null) return '';
  if (typeof value === 'number') return String(value);
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

export const csv = (rows: readonly (readonly (string | number | null)[])[]): Blob =>
  new Blob(['\ufeff', rows.map((row) => row.map(cell).join(',')).join('\r\n'), '\r\n'], { type: 'text/csv;charset=utf-8' });

/** Every observation of a time; where there are more than 100 000, buckets with their smallest, mean and largest value. */
export async function saveCsv(keys: readonly string[], counts: readonly number[], units: readonly string[], from: number, to: number): Promise<void> {
  const name = `${keys.join('+').replaceAll('/', '_').slice(0, 80)}_${iso(from).slice(0, 10)}_${iso(to).slice(0, 10)}.csv`;
  if (Math.max(...counts) <= MOST_RAW) {
    const rows: (string | number)[][] = [['datastream', 'time', 'result', 'unit']];
    for (const [index, key] of keys.entries())
      for (const one of await readRaw(key, from, to, MOST_RAW)) rows.push([key, iso(one.time), one.result, units[index] ?? '']);
    download(name, csv(rows));
    return;
  }
  const rows: (string | number)[][] = [['datastream', 'from', 'min', 'min_time', 'mean', 'max', 'max_time', 'first', 'last', 'count', 'unit']];
  for (const [index, key] of keys.entries())
    for (const one of (await readSeries(key, from, to, BUCKETS)).items)
      rows.push([key, iso(one.start), one.min, iso(one.min_time), one.mean, one.max, iso(one.max_time), one.first, one.last, one.count, units[index] ?? '']);
  download(name, csv(rows));
}

/** What a canvas shows, on the page's ground. */
export async function savePng(canvas: HTMLCanvasElement, title: string, name: string): Promise<void> {
  const style = getComputedStyle(document.documentElement);
  const copy = document.createElement('canvas');
  const head = Math.round(28 * devicePixelRatio);
  copy.width = canvas.width;
  copy.height = canvas.height + head;
  const context = copy.getContext('2d');
  if (!context) return;
  context.fillStyle = style.getPropertyValue('--bg').trim();
  context.fillRect(0, 0, copy.width, copy.height);
  context.fillStyle = style.getPropertyValue('--text').trim();
  context.font = `${Math.round(14 * devicePixelRatio)}px ${getComputedStyle(document.body).fontFamily}`;
  context.fillText(title, 8 * devicePixelRatio, head * 0.7, copy.width - 16);
  context.drawImage(canvas, 0, head);
  const content = await new Promise<Blob | null>((done) => copy.toBlob(done, 'image/png'));
  if (content) download(name, content);
}
