/** The built-in page: it shows the moment, and says honestly when it does not know it. */

import { Alarms } from "./alarms.js";
import { call, Refused, Stream } from "./link.js";
import { ProvinceMap } from "./map.js";
import { ago, bytes, clock, fold, language, measured, number, speak, t, tOr } from "./words.js";

const $ = (selector) => document.querySelector(selector);
const VALUES_SHOWN = 200;
const SILENT_S = 5;
const KEYS = [["j k", "keys.next"], ["a", "keys.acknowledge"], ["s", "keys.shelve"], ["/", "keys.filter"],
  ["v", "keys.values"], ["m", "keys.map"], ["t", "keys.theme"], ["l", "keys.language"], ["?", "keys.help"]];

const things = new Map();
const movers = new Map();
const series = new Map();  // key → {property, unit, result, time}
const roles = new Map();  // role → {beat, heard}
const rates = new Map();  // stage → rates of the last minute
let system = null;
let valuesDirty = true;

const alarms = new Alarms(toast, (source) => ({ unit: series.get(source)?.unit,
  name: movers.get(source)?.name || things.get(source.split("/")[0])?.title }));
const map = new ProvinceMap(movers, things, alarms.all);
const stream = new Stream(["alarm", "observation", "position", "stage", "registry", "quarantine"]);

// ---- small things

function toast(text, bad = false) {
  const note = document.createElement("p");
  note.textContent = text;
  note.className = bad ? "bad" : "";
  $("#toasts").append(note);
  setTimeout(() => note.remove(), bad ? 8000 : 4000);
}

function row(...cells) {
  const line = document.createElement("tr");
  for (const [text, name, tag = "td"] of cells) {
    const cell = document.createElement(tag);
    if (text instanceof Node) cell.append(text);
    else cell.textContent = text;
    if (name) cell.className = name;
    if (tag === "th") cell.scope = "row";
    line.append(cell);
  }
  return line;
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("thap-theme", theme);
  $("#theme").setAttribute("aria-pressed", String(theme === "light"));
  map.touch();
}

async function setLanguage(wanted) {
  await speak(wanted);
  $("#keys-list").replaceChildren(...KEYS.flatMap(([keys, what]) => {
    const term = document.createElement("dt"), meaning = document.createElement("dd");
    term.append(...keys.split(" ").map((key) => Object.assign(document.createElement("kbd"), { textContent: key })));
    meaning.textContent = t(what);
    return [term, meaning];
  }));
  $("#map-legend").replaceChildren(...["mover", "thing", "alarm"].map((name) => {
    const item = document.createElement("li");
    item.textContent = t(`map.${name}`);
    item.className = name;
    return item;
  }));
  valuesDirty = true;
  alarms.draw();
  drawSystem();
  drawState();
}

// ---- what comes in

async function pages(path) {
  const found = [];
  for (let after = ""; after !== null;) {
    const answer = await call("GET", `${path}?limit=10000${after && `&after=${after}`}`);
    found.push(...answer.items);
    after = answer.next;
  }
  return found;
}

async function loadRegistry() {
  const [stations, streams, moving] = await Promise.all(["things", "datastreams", "movers"]
    .map((name) => pages(`/api/v1/${name}`)));
  for (const thing of stations) things.set(thing.name, thing);
  for (const { key, property, unit, latest } of streams)
    series.set(key, { property, unit, folded: fold(`${key} ${property}`), result: latest?.result ?? null,
      time: latest?.time ?? null, ...pick(series.get(key)) });
  for (const { key, name, latest } of moving) {
    const known = movers.get(key);
    if (known) known.name = name;
    else if (latest) movers.set(key, { name, ...latest });
  }
  valuesDirty = true;
  map.touch();
}

/** What the stream said meanwhile stands. */
const pick = (known) => (known?.time ? { result: known.result, time: known.time } : {});

function takeObservations({ source, time, result }) {
  source.forEach((key, index) => {
    const known = series.get(key) ?? { property: "", unit: "", folded: fold(key) };
    series.set(key, Object.assign(known, { time: time[index], result: result[index] }));
  });
  valuesDirty = true;
}

function takePositions({ source, time, lon, lat, speed_kn, course_deg }) {
  source.forEach((key, index) => {
    movers.set(key, Object.assign(movers.get(key) ?? {}, { time: time[index], lon: lon[index], lat: lat[index],
      speed_kn: speed_kn[index], course_deg: course_deg[index] }));
  });
  map.touch();
}

function takeBeat(beat) {
  roles.set(beat.role, { beat, heard: Date.now() });
  for (const [stage, { rate = 0 }] of Object.entries(beat.stages)) {
    const kept = rates.get(stage) ?? [];
    kept.push(rate);
    rates.set(stage, kept.slice(-60));
  }
}

async function loadTitles() {
  const answer = await call("GET", "/api/v1/rules").catch(() => null);
  alarms.name(new Map((answer?.rules ?? []).map(({ name, title }) => [name, title[language] ?? title.vi])));
}

// ---- what is drawn

function drawState() {
  const pill = $("#link");
  pill.textContent = t(`link.${stream.state}`);
  pill.dataset.state = stream.state;
  const banner = $("#banner");
  const silent = [...roles.values()].filter(({ beat, heard }) =>
    Object.keys(beat.stages).length && Date.now() - heard > SILENT_S * 1000);
  let text = "";
  if (stream.state === "lost" && stream.heard) {
    text = t("banner.lost", { ago: ago(stream.heard * 1000) });
  } else if (silent.length) {
    const names = silent.flatMap(({ beat }) => Object.keys(beat.stages)).map((name) => tOr(`stage.${name}`, name));
    const seconds = Math.round((Date.now() - Math.min(...silent.map(({ heard }) => heard))) / 1000);
    text = t("banner.silent", { stages: names.join(", "), seconds });
  } else if (system && system.disk.free < 4 * system.disk.reserve) {
    text = t("banner.disk", { free: bytes(system.disk.free) });
  }
  if (banner.textContent !== text) banner.textContent = text;
  banner.hidden = !text;
  $("#clock").textContent = clock(new Date());
}

function spark(values) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 60 16");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("spark");
  const top = Math.max(...values, 1);
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  line.setAttribute("points", values.map((value, index) =>
    `${60 - values.length + index + 1},${15 - (value / top) * 14}`).join(" "));
  svg.append(line);
  return svg;
}

function drawStages() {
  const lines = [];
  for (const { beat, heard } of [...roles.values()].sort((a, b) => (a.beat.role < b.beat.role ? 1 : -1))) {
    const quiet = (Date.now() - heard) / 1000;
    for (const [stage, { lag = 0, rate = 0 }] of Object.entries(beat.stages)) {
      const silent = quiet > SILENT_S;
      lines.push(row([tOr(`stage.${stage}`, stage), "", "th"],
        silent ? [t("stages.silent", { seconds: Math.round(quiet) }), "number bad"]
          : [number(lag), lag > 1000 ? "number warn" : "number"],
        [silent ? "–" : number(rate), "number"], [spark(rates.get(stage) ?? []), ""]));
    }
  }
  $("#stages-rows").replaceChildren(...lines);
}

function drawSystem() {
  drawStages();
  if (!system) return;
  const facts = [["series", number(system.latest.observation)], ["movers", number(system.latest.position)],
    ["disk", bytes(system.disk.free)], ["journal", bytes(system.journal.bytes ?? 0)],
    ["dead", number(system.waiting.dead_letters ?? 0), system.waiting.dead_letters > 0],
    ["consoles", number(system.consoles)]];
  $("#facts").replaceChildren(...facts.flatMap(([name, value, warn]) => {
    const box = document.createElement("div");
    const term = document.createElement("dt"), shown = document.createElement("dd");
    term.textContent = t(`facts.${name}`);
    shown.textContent = value;
    if (warn) shown.className = "warn";
    box.append(term, shown);
    return box;
  }));
  $("#map-count").textContent = t("map.count", { movers: number(movers.size), things: number(things.size) });
}

function drawValues() {
  if (!valuesDirty) return;
  valuesDirty = false;
  const wanted = fold($("#values-filter").value.trim());
  const found = [...series].filter(([, value]) => !wanted || value.folded.includes(wanted));
  found.sort(([a, one], [b, other]) => (one.time === null) - (other.time === null) || (a < b ? -1 : 1));
  $("#values-rows").replaceChildren(...found.slice(0, VALUES_SHOWN).map(([key, value]) =>
    row([key, "", "th"], [value.property, "faint property"],
      [value.time === null ? "–" : `${measured(value.result)} ${value.unit}`, "number"],
      [value.time === null ? "–" : ago(value.time), "faint"])));
  $("#values-count").textContent = t("values.count",
    { shown: number(Math.min(found.length, VALUES_SHOWN)), total: number(series.size) });
  const empty = $("#values-empty");
  empty.hidden = found.length > 0;
  empty.textContent = t(series.size ? "values.nomatch" : "values.none");
}

async function drawQuarantine() {
  const { items, total } = await call("GET", "/api/v1/quarantine?limit=20");
  $("#quarantine-count").textContent = t("quarantine.count", { total: number(total) });
  $("#quarantine-empty").hidden = total > 0;
  $("#quarantine-list").hidden = total === 0;
  $("#quarantine-list").replaceChildren(...items.map(({ key, count, last }) => {
    const item = document.createElement("li");
    const what = document.createElement("div"), name = document.createElement("strong");
    const note = document.createElement("span"), button = document.createElement("button");
    name.textContent = key;
    note.textContent = t("quarantine.records", { count: number(count), ago: ago(last) });
    note.className = "faint";
    what.append(name, note);
    button.type = "button";
    button.textContent = t("quarantine.admit");
    button.setAttribute("aria-label", t("quarantine.admit.of", { key }));
    button.addEventListener("click", () => admit(key, button));
    item.append(what, button);
    return item;
  }));
}

async function admit(key, button) {
  button.disabled = true;
  try {
    const { released } = await call("POST", "/api/v1/quarantine/admit", { patterns: [key] });
    toast(t("quarantine.admitted", { key, released: number(released) }));
    await loadRegistry();
  } catch (error) {
    toast(tOr(`error.${error.code}`, t("error.other")), true);
  }
  await drawQuarantine().catch(() => {});
}

// ---- keys

function listen() {
  const press = {
    j: () => alarms.step(1), k: () => alarms.step(-1), ArrowDown: () => alarms.step(1),
    ArrowUp: () => alarms.step(-1), a: () => alarms.actOnSelected("acknowledge"),
    s: () => alarms.actOnSelected("shelve"), "/": () => $("#alarms-filter").focus(),
    v: () => $("#values-filter").focus(), m: () => $("#canvas").focus(), t: () => $("#theme").click(),
    l: () => $("#language").click(), "?": () => $("#keys").showModal(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && event.target.matches("input")) event.target.blur();
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.matches("input") || $("#keys").open) return;
    if (event.key.startsWith("Arrow") && !event.target.closest("#alarms-list")) return;
    const act = press[event.key];
    if (act && !$("#panels").hidden) {
      event.preventDefault();
      act();
    }
  });
  $("#help").addEventListener("click", () => $("#keys").showModal());
  $("#theme").addEventListener("click", () =>
    setTheme(document.documentElement.dataset.theme === "light" ? "dark" : "light"));
  $("#language").addEventListener("click", async () => {
    await setLanguage(language === "vi" ? "en" : "vi");
    await Promise.allSettled([loadTitles(), drawQuarantine()]);
    alarms.draw();
  });
  $("#values-filter").addEventListener("input", () => { valuesDirty = true; drawValues(); });
  $("#sign-in").addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await call("POST", "/session", { key: $("#sign-key").value });
      $("#sign-key").value = "";
      history.replaceState(null, "", "/");
      await begin();
    } catch {
      refuse();
    }
  });
}

function refuse() {
  $("#sign-why").hidden = false;
  $("#sign-why").textContent = t("sign.refused");
}

// ---- start

async function every(seconds, work) {
  for (;;) {
    await work().catch(() => {});
    await new Promise((done) => setTimeout(done, seconds * 1000));
  }
}

async function begin() {
  let answer;
  try {
    answer = await call("GET", "/api/v1/latest?limit=1");
  } catch (error) {
    if (!(error instanceof Refused) || !["unauthenticated", "denied"].includes(error.code)) {
      setTimeout(begin, 2000);
      return;
    }
    $("#sign-in").hidden = false;
    $("#panels").hidden = true;
    $("#link").hidden = true;
    if (location.hash === "#refused") refuse();
    $("#sign-key").focus();
    return;
  }
  $("#sign-in").hidden = true;
  $("#panels").hidden = false;
  $("#link").hidden = false;
  stream.addEventListener("state", () => {
    drawState();
    if (stream.state === "live") alarms.load().catch(() => {});
  });
  stream.addEventListener("alarm", ({ detail }) => {
    if (alarms.take(detail)) toast(t("alarms.new", { source: detail.source }));
    map.touch();
  });
  stream.addEventListener("observation", ({ detail }) => takeObservations(detail));
  stream.addEventListener("position", ({ detail }) => takePositions(detail));
  stream.addEventListener("stage", ({ detail }) => takeBeat(detail));
  let wait = 0;
  stream.addEventListener("registry", () => {
    clearTimeout(wait);
    wait = setTimeout(() => loadRegistry().catch(() => {}), 1000);
  });
  stream.addEventListener("quarantine", () => drawQuarantine().catch(() => {}));
  stream.open(answer.event_id);  // first, so that nothing between is missed
  await Promise.allSettled([alarms.load(), loadRegistry(), loadTitles(),
    call("GET", "/api/v1/places.geojson").then((places) => map.outline(places))]);
  alarms.draw();
  setInterval(() => { drawState(); drawStages(); alarms.refresh(); valuesDirty = true; map.touch(); }, 1000);
  setInterval(() => { drawValues(); alarms.refresh(); }, 250);
  every(5, async () => { system = await call("GET", "/api/v1/system"); drawSystem(); });
  every(5, drawQuarantine);
}

setTheme(localStorage.getItem("thap-theme") === "light" ? "light" : "dark");
await setLanguage(language);
listen();
await begin();
