/** Moments in form fields: the province's clock (UTC+7 all year) as `<input type="datetime-local">` has it. */
import { HOUR, DAY } from '../format';

const AHEAD = 7 * HOUR;

/** 2026-11-22T18:46 */
export const toLocal = (us: number | null | undefined): string => (us === null || us === undefined ? '' : new Date((us + AHEAD) / 1000).toISOString().slice(0, 16));

/** µs since 1970 UTC; null for nothing. */
export const fromLocal = (text: string): number | null => {
  const ms = Date.parse(`${text}${text.length === 16 ? ':00' : ''}+07:00`);
  return text && !Number.isNaN(ms) ? ms * 1000 : null;
};

/** The day's beginning in the province. */
export const dayStart = (us: number): number => Math.floor((us + AHEAD) / DAY) * DAY - AHEAD;

/** Monday's beginning, of the week the moment lies in. */
export const weekStart = (us: number): number => {
  const start = dayStart(us);
  const weekday = (Math.floor((start + AHEAD) / DAY) + 3) % 7; // 1970-01-01 was a Thursday; Monday is 0
  return start - weekday * DAY;
};

/** Hours within the day, 0 … 24, of a moment clipped to it. */
export const hoursInto = (us: number, day: number): number => Math.max(0, Math.min(24, (us - day) / HOUR));

/** As the API takes lengths of time: 90m, 12h. */
export const lengthText = (us: number): string => (us % HOUR === 0 ? `${us / HOUR}h` : `${Math.round(us / (HOUR / 60))}m`);

export const iso = (us: number): string => new Date(us / 1000).toISOString();
