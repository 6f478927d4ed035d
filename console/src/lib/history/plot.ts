/** The drawing of a history chart with uPlot: bands from smallest to largest, limits as lines, marks. Lazy: imported by Chart only. */
import uPlot from 'uplot';

import { absolute, clock, clockSeconds, DAY, day, HOUR, MINUTE, number, unitOf, ZONE } from '../format';

/** Something that happened, drawn on the chart. */
export interface Mark {
  /** µs. */
  us: number;
  /** Lasting to here; a moment without it. */
  until?: number | null;
  text: string;
  /** 1 low … 4 critical; 0 neutral. */
  severity?: number;
  /** Address of the console it leads to. */
  href?: string;
}

/** A limit. */
export interface Limit {
  value: number;
  text: string;
  severity?: number;
  /** Only for the datastreams of this key; without it for all of the chart. */
  datastream?: string;
}

export interface Drawn {
  key: string;
  unit: string;
}

const HUES = ['--accent', '--good', '--warn', '--sev-3', '--sev-1', '--bad'];

export const hueOf = (index: number): string => HUES[index % HUES.length]!;

const colour = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const severityColour = (level = 0): string => colour(level ? `--sev-${level}` : '--muted');

function tick(us: number, span: number, step: number): string {
  if (step < MINUTE) return clockSeconds(us);
  if (span <= DAY) return clock(us);
  const midnight = (us + 7 * HOUR) % DAY === 0;
  const date = day(us);
  if (span > 300 * DAY) return date.slice(3);
  return step >= DAY || midnight ? date.slice(0, 5) : clock(us);
}

/** Smallest and largest value to show: of the data, and of limits that are not far off. */
export function rangeOf(min: number | null, max: number | null, limits: readonly number[]): [number, number] {
  let low = min ?? Math.min(...limits, 0);
  let high = max ?? Math.max(...limits, 1);
  const span = high - low || Math.abs(high) || 1;
  for (const limit of limits) {
    if (limit > high && limit - high <= 2 * span) high = limit;
    if (limit < low && low - limit <= 2 * span) low = limit;
  }
  const air = (high - low || Math.abs(high) || 1) * 0.08;
  return [min !== null && min >= 0 && low - air < 0 ? 0 : low - air, high + air];
}

interface Wanted {
  width: number;
  height: number;
  drawn: Drawn[];
  limits: readonly Limit[];
  marks: readonly Mark[];
  from: number;
  to: number;
  /** A span was chosen, µs. */
  onselect: (from: number, to: number) => void;
  onback: () => void;
}

export function optionsFor(wanted: Wanted): uPlot.Options {
  const units = [...new Set(wanted.drawn.map((one) => one.unit))];
  const series: uPlot.Series[] = [{}];
  const bands: uPlot.Band[] = [];
  wanted.drawn.forEach((one, index) => {
    const hue = colour(hueOf(index));
    const at = 1 + index * 3;
    const scale = `y${units.indexOf(one.unit)}`;
    series.push({ scale, stroke: hue, width: 1.5, points: { size: 4 } });
    series.push({ scale, stroke: `${hue}59`, width: 1, points: { show: false } });
    series.push({ scale, stroke: `${hue}59`, width: 1, points: { show: false } });
    bands.push({ series: [at + 2, at + 1], fill: `${hue}33` });
  });
  const grid = { stroke: `${colour('--line')}`, width: 1 };
  const axis = { stroke: colour('--muted'), grid, ticks: grid, font: `12px ${getComputedStyle(document.body).fontFamily}` };
  const limitsOf = (unit: string) => {
    const keys = wanted.drawn.filter((one) => one.unit === unit).map((one) => one.key);
    return wanted.limits.filter((one) => !one.datastream || keys.includes(one.datastream));
  };
  const scales: uPlot.Scales = { x: { time: true, range: () => [wanted.from / 1e6, wanted.to / 1e6] } };
  units.forEach((unit, index) => {
    const limits = limitsOf(unit).map((one) => one.value);
    scales[`y${index}`] = { range: (_plot, min, max) => rangeOf(min, max, limits) };
  });
  return {
    width: wanted.width,
    height: wanted.height,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), ZONE),
    legend: { show: false },
    cursor: { drag: { x: true, y: false, setScale: false, dist: 6 }, bind: { dblclick: () => () => (wanted.onback(), null) }, y: false },
    scales,
    series,
    bands,
    axes: [
      {
        ...axis,
        space: 70,
        values: (plot, splits, _axis, _space, step) => {
          const span = ((plot.scales['x']!.max ?? 0) - (plot.scales['x']!.min ?? 0)) * 1e6;
          return splits.map((one) => tick(one * 1e6, span, step * 1e6));
        },
      },
      ...units.slice(0, 2).map(
        (unit, index): uPlot.Axis => ({
          ...axis,
          scale: `y${index}`,
          side: index ? 1 : 3,
          size: 58,
          grid: index ? { show: false } : grid,
          values: (_plot, splits) => splits.map((one) => number(one, 3)),
          label: unit && unit !== '1' ? unitOf(unit) : undefined,
          labelSize: 18,
          labelFont: axis.font,
        }),
      ),
    ],
    hooks: {
      setSelect: [
        (plot) => {
          if (plot.select.width < 4) return;
          const from = plot.posToVal(plot.select.left, 'x') * 1e6;
          const to = plot.posToVal(plot.select.left + plot.select.width, 'x') * 1e6;
          plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          wanted.onselect(Math.round(from), Math.round(to));
        },
      ],
      drawClear: [(plot) => drawMarks(plot, wanted.marks, true)],
      draw: [
        (plot) => {
          units.forEach((unit, index) => drawLimits(plot, limitsOf(unit), `y${index}`));
          drawMarks(plot, wanted.marks, false);
        },
      ],
    },
  };
}

function drawLimits(plot: uPlot, limits: readonly Limit[], scale: string): void {
  const { ctx, bbox } = plot;
  const ratio = devicePixelRatio;
  ctx.save();
  ctx.font = `${11 * ratio}px ${getComputedStyle(document.body).fontFamily}`;
  ctx.textBaseline = 'bottom';
  ctx.textAlign = 'left';
  let written = Number.POSITIVE_INFINITY;
  for (const limit of [...limits].sort((a, b) => a.value - b.value)) {
    const y = plot.valToPos(limit.value, scale, true);
    const above = y < bbox.top;
    const inside = !above && y <= bbox.top + bbox.height;
    ctx.strokeStyle = ctx.fillStyle = severityColour(limit.severity);
    if (inside) {
      ctx.setLineDash([6 * ratio, 4 * ratio]);
      ctx.lineWidth = ratio;
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
      // Words over words cannot be read; the list under the chart has them all.
      if (written - y >= 12 * ratio) {
        ctx.fillText(limit.text, bbox.left + 4 * ratio, y - 2 * ratio);
        written = y;
      }
    }
  }
  ctx.restore();
}

function drawMarks(plot: uPlot, marks: readonly Mark[], behind: boolean): void {
  const { ctx, bbox } = plot;
  const ratio = devicePixelRatio;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  for (const mark of marks) {
    const x = plot.valToPos(mark.us / 1e6, 'x', true);
    const end = mark.until ? plot.valToPos(mark.until / 1e6, 'x', true) : x;
    if (end < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.fillStyle = ctx.strokeStyle = severityColour(mark.severity);
    if (behind) {
      ctx.globalAlpha = 0.13;
      if (end > x) ctx.fillRect(x, bbox.top, end - x, bbox.height);
      continue;
    }
    ctx.lineWidth = 1.5 * ratio;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.beginPath();
    ctx.moveTo(x - 4 * ratio, bbox.top);
    ctx.lineTo(x + 4 * ratio, bbox.top);
    ctx.lineTo(x, bbox.top + 7 * ratio);
    ctx.fill();
  }
  ctx.restore();
}

/** Draw; `data` as uPlot wants it: seconds, then for each series mean, smallest, largest. */
export function draw(element: HTMLElement, wanted: Wanted, data: uPlot.AlignedData): uPlot {
  return new uPlot(optionsFor(wanted), data, element);
}

/** Columns of several series on one axis of time. */
export function joined(tables: readonly (readonly (readonly (number | null)[])[])[]): uPlot.AlignedData {
  if (tables.length === 1) return tables[0] as unknown as uPlot.AlignedData;
  return uPlot.join(
    tables as unknown as uPlot.AlignedData[],
    tables.map((table) => table.map(() => 1)), // a null of its own stays a gap; where only others have a time, the line goes on
  );
}

/** The moment under the cursor, in words. */
export const momentOf = (seconds: number): string => absolute(seconds * 1e6);
