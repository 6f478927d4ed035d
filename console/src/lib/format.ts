/** Moments, numbers and lengths of time as people of the province write them. Moments are µs since 1970 UTC. */
import { language, t, tOr } from './i18n.svelte';

export const ZONE = 'Asia/Ho_Chi_Minh';
export const SECOND = 1_000_000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

const locale = () => (language() === 'vi' ? 'vi-VN' : 'en-GB');
const made = new Map<string, Intl.NumberFormat>();

/** Writes moments (ms) by these options, one formatter for each language. */
function dates(options: Intl.DateTimeFormatOptions): (ms: number) => string {
  const byLocale = new Map<string, Intl.DateTimeFormat>();
  return (ms) => {
    let found = byLocale.get(locale());
    if (!found) byLocale.set(locale(), (found = new Intl.DateTimeFormat(locale(), { timeZone: ZONE, hourCycle: 'h23', ...options })));
    return found.format(ms);
  };
}

function numbers(options: Intl.NumberFormatOptions): Intl.NumberFormat {
  const key = locale() + JSON.stringify(options);
  let found = made.get(key);
  if (!found) made.set(key, (found = new Intl.NumberFormat(locale(), options)));
  return found;
}

/** Now, in µs. */
export const nowUs = (): number => Date.now() * 1000;

const DATE = { day: '2-digit', month: '2-digit', year: 'numeric' } as const;
const MINUTES = { hour: '2-digit', minute: '2-digit' } as const;
const SECONDS = { ...MINUTES, second: '2-digit' } as const;
const absolutes = dates({ ...DATE, ...SECONDS });
const clocks = dates(MINUTES);
const clocksWithSeconds = dates(SECONDS);
const days = dates(DATE);
const moments = dates({ day: '2-digit', month: '2-digit', ...MINUTES });

const fullMinutes = new Map<string, string>();
/** 22/11/2026, 18:46:15 */
export function absolute(us: number): string {
  // Every row of every list has one, and most are of a few minutes: the minute is written once, its seconds are put in.
  const minute = Math.floor(us / MINUTE);
  const key = locale() + minute;
  let text = fullMinutes.get(key);
  if (text === undefined) {
    text = absolutes(minute * 60_000);
    if (fullMinutes.size > 2000) fullMinutes.clear();
    fullMinutes.set(key, text);
  }
  const seconds = Math.floor((us - minute * MINUTE) / SECOND);
  return text.replace(/(\d\d:\d\d):00/, `$1:${String(seconds).padStart(2, '0')}`);
}

/** 18:46 */
export const clock = (us: number): string => clocks(us / 1000);

/** 18:46:15 */
export const clockSeconds = (us: number): string => clocksWithSeconds(us / 1000);

/** 22/11/2026 */
export const day = (us: number): string => days(us / 1000);

/** 22/11 18:46, or 18:46 alone where that is today. */
export const moment = (us: number): string => (day(us) === day(nowUs()) ? clock(us) : moments(us / 1000));

/** A number with at most so many digits after the point. */
export const number = (value: number, digits = 2): string => numbers({ maximumFractionDigits: digits }).format(value);

/** 12.3 % of a share between 0 and 1. */
export const percent = (share: number, digits = 1): string =>
  numbers({ style: 'percent', maximumFractionDigits: digits }).format(share);

const amounts = new Map<string, string>();
/** So many of a unit of time; there are few of them, and each is asked for again and again. */
function unit(amount: number, name: string): string {
  const key = `${locale()} ${amount} ${name}`;
  let text = amounts.get(key);
  if (text === undefined) {
    text = numbers({ style: 'unit', unit: name, unitDisplay: language() === 'vi' ? 'long' : 'short', maximumFractionDigits: 0 }).format(amount);
    if (amounts.size > 2000) amounts.clear();
    amounts.set(key, text);
  }
  return text;
}

/** A length of time in two units at most: 2 giờ 5 phút. `us` may be negative; its size is said. */
export function lasting(us: number): string {
  const seconds = Math.abs(us) / SECOND;
  if (seconds < 60) return unit(Math.floor(seconds), 'second');
  if (seconds < 3600) return unit(Math.floor(seconds / 60), 'minute');
  if (seconds < 86_400) {
    const minutes = Math.floor((seconds % 3600) / 60);
    return unit(Math.floor(seconds / 3600), 'hour') + (minutes ? ` ${unit(minutes, 'minute')}` : '');
  }
  const hours = Math.floor((seconds % 86_400) / 3600);
  const days = Math.floor(seconds / 86_400);
  return unit(days, 'day') + (hours && days < 7 ? ` ${unit(hours, 'hour')}` : '');
}

/** How long ago, or in how long: `now` is for those who keep one clock for a whole list. */
export function ago(us: number, now: number = nowUs()): string {
  const past = now - us;
  if (Math.abs(past) < 5 * SECOND) return t('time.now');
  return past >= 0 ? t('time.ago', { time: lasting(past) }) : t('time.in', { time: lasting(past) });
}

/** 1,4 GB */
export function bytes(size: number): string {
  const units = ['byte', 'kilobyte', 'megabyte', 'gigabyte', 'terabyte'];
  let step = 0;
  while (size >= 1000 && step < units.length - 1) {
    size /= 1000;
    step += 1;
  }
  return numbers({ style: 'unit', unit: units[step] ?? 'byte', unitDisplay: 'short', maximumFractionDigits: size < 10 ? 1 : 0 }).format(size);
}

/** A unit in the language's form; most are symbols and stand as they are. */
export const unitOf = (unit: string): string => tOr(`unit.${unit}`, unit);

/** A value with its unit: 3,25 m. A bare number where the unit is empty or 1. */
export const measured = (value: number | null | undefined, unit = '', digits = 2): string =>
  value === null || value === undefined ? '–' : number(value, digits) + (unit && unit !== '1' ? ` ${unitOf(unit)}` : '');

/** A place on the globe: 10,45321° B, 105,63210° Đ */
export const place = (lon: number, lat: number): string =>
  t('time.place', { lat: number(Math.abs(lat), 5), lon: number(Math.abs(lon), 5), north: t(lat >= 0 ? 'time.north' : 'time.south'), east: t(lon >= 0 ? 'time.east' : 'time.west') });

/** Text without case and diacritics, đ as d: what searches compare. */
export const fold = (text: string): string =>
  text.normalize('NFD').replace(/\p{M}/gu, '').replace(/đ/g, 'd').replace(/Đ/g, 'D').toLowerCase();
