/** Texts, numbers and times in the chosen language. No visible text stands anywhere but in the message files. */

let messages = {};
export let language = localStorage.getItem("thap-language") === "en" ? "en" : "vi";

/** Take a language and put its words where the page asks for them by data-t, data-t-label and data-t-hint. */
export async function speak(wanted) {
  const answer = await fetch(`/page/messages/${wanted}.json`);
  messages = await answer.json();
  language = wanted;
  localStorage.setItem("thap-language", wanted);
  document.documentElement.lang = wanted;
  for (const element of document.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  for (const element of document.querySelectorAll("[data-t-label]")) {
    element.setAttribute("aria-label", t(element.dataset.tLabel));
    if (element.matches("button")) element.title = t(element.dataset.tLabel);
  }
  for (const element of document.querySelectorAll("[data-t-hint]")) element.placeholder = t(element.dataset.tHint);
  document.querySelector("#language").textContent = t("language.other");
}

/** A message, its {names} filled in. */
export function t(key, values = {}) {
  return (messages[key] ?? key).replace(/{(\w+)}/g, (_, name) => values[name] ?? "");
}

/** A message, or what to show where there is none. */
export const tOr = (key, otherwise) => messages[key] ?? otherwise;

const locale = () => (language === "vi" ? "vi-VN" : "en-GB");
const place = { timeZone: "Asia/Ho_Chi_Minh" };

export const number = (value, digits = 0) =>
  new Intl.NumberFormat(locale(), { maximumFractionDigits: digits }).format(value);

export const measured = (value) =>
  value === null ? "–" : new Intl.NumberFormat(locale(), { maximumSignificantDigits: 6 }).format(value);

export const clock = (date) =>
  new Intl.DateTimeFormat(locale(), { ...place, dateStyle: "short", timeStyle: "medium" }).format(date);

export const hour = (us) =>
  new Intl.DateTimeFormat(locale(), { ...place, hour: "2-digit", minute: "2-digit" }).format(us / 1000);

/** A moment in µs as a person would say how long ago it is. */
export function ago(us) {
  const seconds = (Date.now() - us / 1000) / 1000;
  const size = Math.abs(seconds);
  if (size < 2) return t("ago.now");
  const [unit, length] = size < 60 ? ["second", 1] : size < 3600 ? ["minute", 60]
    : size < 86400 ? ["hour", 3600] : ["day", 86400];
  return new Intl.RelativeTimeFormat(locale(), { style: "short" }).format(-Math.round(seconds / length), unit);
}

export function bytes(size) {
  const [unit, length] = size < 2 ** 20 ? ["KiB", 2 ** 10] : size < 2 ** 30 ? ["MiB", 2 ** 20] : ["GiB", 2 ** 30];
  return `${number(size / length, 1)} ${unit}`;
}

/** Lower case without marks, for filters. */
export const fold = (text) =>
  text.toLowerCase().replaceAll("đ", "d").normalize("NFD").replace(/\p{Mn}/gu, "");
