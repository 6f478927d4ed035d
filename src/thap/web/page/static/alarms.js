/** The alarm queue: what calls for somebody, the most severe and newest first. */

import { call, Refused } from "./link.js";
import { ago, fold, hour, measured, t } from "./words.js";

const OPEN = new Set(["unacknowledged", "acknowledged", "returned_unacknowledged"]);
const SHOWN = 200;
const list = document.querySelector("#alarms-list");
const filter = document.querySelector("#alarms-filter");

export class Alarms {
  all = new Map();
  #titles = new Map();
  #toast;
  #about;
  #dirty = true;

  /**
   * @param toast says something for a moment: (text, bad)
   * @param about what is known of a source: key → {name, unit}
   */
  constructor(toast, about) {
    this.#toast = toast;
    this.#about = about;
    filter.addEventListener("input", () => this.draw());
    list.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) this.act(button.dataset.act, Number(button.closest("li").dataset.id));
    });
  }

  /** Read the open alarms, and the titles of the rules that raise them. */
  async load() {
    const query = new URLSearchParams({ state: [...OPEN].join(","), sort: "-changed", limit: "1000" });
    const answer = await call("GET", `/api/v1/alarms?${query}`);
    this.all.clear();  // the map draws from it, so it stays the same object
    for (const alarm of answer.items) this.all.set(alarm.id, alarm);
    this.#dirty = true;
  }

  /** Titles of conditions, by name. */
  name(titles) {
    this.#titles = titles;
    this.#dirty = true;
  }

  title(alarm) {
    return this.#titles.get(alarm.condition) || alarm.condition;
  }

  /** Take a transition; true for a call on the operator. */
  take(event) {
    const known = this.all.get(event.alarm);
    if (known && event.version < known.version) return false;
    this.#dirty = true;
    if (!OPEN.has(event.to_state)) {
      this.all.delete(event.alarm);
      return false;
    }
    const raised = event.action === "raise" || !known ? event.time : known.raised;
    const { source, condition, severity, domain, commune, lon, lat, active, value, version } = event;
    this.all.set(event.alarm, { ...known, id: event.alarm, source, condition, severity, domain, commune, lon, lat,
      active, value, version, state: event.to_state, raised, changed: event.recorded_at });
    return event.annunciated;
  }

  async act(action, id) {
    const alarm = this.all.get(id);
    if (!alarm) return;
    try {
      const body = { version: alarm.version };
      if (action === "shelve") body.for = "1h";
      await call("POST", `/api/v1/alarms/${id}/${action}`, body);
      const until = hour((Date.now() + 3600e3) * 1000);
      this.#toast(t(action === "shelve" ? "alarms.shelved" : "alarms.acknowledged",
        { source: alarm.source, time: until }));
    } catch (error) {
      this.#toast(t(error instanceof Refused && t(`error.${error.code}`) !== `error.${error.code}`
        ? `error.${error.code}` : "error.other"), true);
      await this.load().catch(() => {});
    }
    this.draw();
  }

  /** Act on the alarm that has the focus. */
  actOnSelected(action) {
    const item = document.activeElement?.closest?.("#alarms-list li") ?? list.querySelector("li");
    if (item) this.act(action, Number(item.dataset.id));
  }

  /** Move the focus along the queue. */
  step(by) {
    const items = [...list.children];
    const at = items.indexOf(document.activeElement?.closest?.("#alarms-list li"));
    items[Math.max(0, Math.min(items.length - 1, at < 0 ? 0 : at + by))]?.focus();
  }

  /** Draw if something changed since the last time. */
  refresh() {
    if (this.#dirty) this.draw();
    else for (const time of list.querySelectorAll("time")) time.textContent = ago(Number(time.dataset.us));
  }

  draw() {
    this.#dirty = false;
    const wanted = fold(filter.value.trim());
    const rank = (alarm) => (alarm.state === "acknowledged" ? 0 : 10) + alarm.severity;
    const shown = [...this.all.values()]
      .filter((alarm) => !wanted || fold([alarm.source, this.#about(alarm.source).name, alarm.condition,
        this.title(alarm)].join(" ")).includes(wanted))
      .sort((a, b) => rank(b) - rank(a) || b.raised - a.raised);
    const focused = document.activeElement?.closest?.("#alarms-list li")?.dataset.id;
    const act = document.activeElement?.dataset?.act;
    list.replaceChildren(...shown.slice(0, SHOWN).map((alarm) => this.#item(alarm)));
    if (focused) {
      const item = list.querySelector(`li[data-id="${focused}"]`);
      (item?.querySelector(`[data-act="${act}"]`) ?? item)?.focus({ preventScroll: true });
    }
    const fresh = shown.filter((alarm) => alarm.state !== "acknowledged").length;
    document.querySelector("#alarms-count").textContent = t("alarms.count", { new: fresh, total: shown.length });
    const empty = document.querySelector("#alarms-empty");
    empty.hidden = shown.length > 0;
    empty.textContent = t(this.all.size ? "alarms.nomatch" : "alarms.none");
    list.hidden = shown.length === 0;
    document.title = fresh ? `(${fresh}) Tháp` : "Tháp";
  }

  #item(alarm) {
    const item = document.createElement("li");
    item.dataset.id = alarm.id;
    item.dataset.severity = alarm.severity;
    item.dataset.state = alarm.state;
    item.tabIndex = 0;
    const add = (parent, tag, text, name) => {
      const element = document.createElement(tag);
      element.textContent = text;
      if (name) element.className = name;
      parent.append(element);
      return element;
    };
    add(item, "span", t(`severity.${alarm.severity}`), "severity");
    const what = add(item, "div", "", "what");
    const { name, unit } = this.#about(alarm.source);
    add(what, "strong", this.title(alarm));
    add(what, "span", name && name !== alarm.source ? `${name} · ${alarm.source}` : alarm.source, "source");
    const when = add(what, "span", "", "when");
    const time = add(when, "time", ago(alarm.raised));
    time.dataset.us = alarm.raised;
    time.dateTime = new Date(alarm.raised / 1000).toISOString();
    add(when, "span", ` · ${t(`state.${alarm.state}`)}`);
    // Only a series has a value: of a vessel in a zone the number says nothing to a person.
    if (alarm.source.includes("/") && typeof alarm.value === "number")
      add(item, "data", `${measured(alarm.value)} ${unit ?? ""}`, "value").value = alarm.value;
    const acts = add(item, "div", "", "acts");
    const acknowledge = add(acts, "button", t("alarms.acknowledge"));
    acknowledge.dataset.act = "acknowledge";
    acknowledge.disabled = alarm.state === "acknowledged";
    acknowledge.setAttribute("aria-label", t("alarms.acknowledge.of", { source: alarm.source }));
    const shelve = add(acts, "button", t("alarms.shelve"), "quiet");
    shelve.dataset.act = "shelve";
    shelve.setAttribute("aria-label", t("alarms.shelve.of", { source: alarm.source }));
    for (const button of [acknowledge, shelve]) button.type = "button";
    return item;
  }
}
