/** The report form: a map to point on, what was reported nearby, photos before they are sent, and a proof of work.
    Everything here helps; nothing is needed: the form is whole without it. */

import { PlaceMap } from "./map.js";

const form = document.querySelector("#report");
const field = (name) => form.elements.namedItem(name);
const one = (selector) => document.querySelector(selector);

const language = document.documentElement.lang;
const degrees = (value) => value.toLocaleString(language, { minimumFractionDigits: 5, maximumFractionDigits: 5 });
const fill = (pattern, values) => pattern.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);

// Proof of work, in a worker so that the page stays quick.
let proved = null;
try {
  const worker = new Worker("/reports/static/work.js");
  proved = new Promise((resolve) => {
    worker.onmessage = ({ data }) => { field("proof").value = data; resolve(true); };
    worker.onerror = (event) => { event.preventDefault(); one("#proof-sum").hidden = false; resolve(false); };
  });
  worker.postMessage([field("token").value, Number(form.dataset.bits)]);
  one("#proof-sum").hidden = true;
} catch { /* the sum stays */ }

let sent = false;
form.addEventListener("submit", async (event) => {
  if (sent) { event.preventDefault(); return; }
  const button = form.querySelector("button.main");
  one("#said").textContent = form.dataset.sending;
  if (proved && !field("proof").value && one("#proof-sum").hidden) {
    event.preventDefault();
    button.disabled = true;
    await proved;
    button.disabled = false;
    form.requestSubmit();
    return;
  }
  sent = true;
});
addEventListener("pageshow", () => { sent = false; one("#said").textContent = ""; });
one("#faults")?.focus();

// The map.
const commune = field("commune");
const said = one("#point");
one("#where").hidden = false;
const map = new PlaceMap(one("#map"), (point, code, outside) => {
  field("lon").value = point ? point[0].toFixed(6) : "";
  field("lat").value = point ? point[1].toFixed(6) : "";
  said.textContent = point ? fill(said.dataset.set, { lon: degrees(point[0]), lat: degrees(point[1]) })
    : outside ? said.dataset.outside : said.dataset.none;
  one(".tap").hidden = Boolean(point);
  one("#point-remove").hidden = !point;
  if (point && code) commune.value = code;
  near();
});
one("#map-in").addEventListener("click", () => map.zoom(1.7));
one("#map-out").addEventListener("click", () => map.zoom(1 / 1.7));
one("#map-home").addEventListener("click", () => map.home());
one("#point-remove").addEventListener("click", () => map.point(null));
commune.addEventListener("change", () => { if (commune.value) map.show(commune.value); });
fetch("/reports/outlines.json").then((answer) => answer.json()).then((read) => {
  const kept = field("lon").value;
  map.outline(read);
  if (kept) map.point([Number(field("lon").value), Number(field("lat").value)], true);
  else if (commune.value && !field("lon").value) map.show(commune.value);
}).catch(() => { one("#where").hidden = true; });

const here = one("#here");
if (navigator.geolocation && isSecureContext) {
  here.hidden = false;
  here.addEventListener("click", () => {
    const told = one("#here-said");
    told.textContent = here.dataset.wait;
    navigator.geolocation.getCurrentPosition(({ coords }) => {
      const inside = map.point([coords.longitude, coords.latitude], true);
      told.textContent = inside ? "" : here.dataset.outside;
    }, () => { told.textContent = here.dataset.fail; }, { enableHighAccuracy: true, timeout: 15000 });
  });
}

// What was reported nearby.
let asked = 0;
async function near() {
  const box = one("#near"), list = one("#near-list"), number = ++asked;
  const [lon, lat] = [field("lon").value, field("lat").value];
  let found = [];
  if (lon && lat) {
    const query = new URLSearchParams({ lon, lat, service: field("service").value, lang: language });
    try {
      found = await (await fetch(`/reports/near.json?${query}`)).json();
    } catch { /* a suggestion only */ }
  }
  if (number !== asked) return;
  list.replaceChildren();
  box.hidden = !found.length;
  if (!found.length) return;
  const choice = (value, words, more) => {
    const label = document.createElement("label"), input = document.createElement("input"), text = document.createElement("span");
    label.className = "choice";
    Object.assign(input, { type: "radio", name: "same_as", value, checked: value === "" });
    text.textContent = words;
    if (more) {
      const detail = document.createElement("span");
      detail.textContent = ` · ${more}`;
      text.append(detail);
    }
    label.append(input, text);
    list.append(label);
  };
  for (const report of found)
    choice(String(report.id), `${box.dataset.same}: ${report.text || report.service}`,
      `${fill(box.dataset.metres, { metres: Math.round(report.metres) })}, ${report.sent}`);
  choice("", box.dataset.none, "");
}

// Photos: how they look, and no more than are taken.
const photo = one("#photo");
photo?.addEventListener("change", () => {
  const shots = one("#shots"), most = Number(photo.dataset.most);
  if (photo.files.length > most) {
    const kept = new DataTransfer();
    [...photo.files].slice(0, most).forEach((file) => kept.items.add(file));
    photo.files = kept.files;
  }
  shots.replaceChildren();
  for (const file of photo.files) {
    const reader = new FileReader(), item = document.createElement("li"), image = document.createElement("img");
    image.alt = file.name;
    reader.onload = () => { image.src = reader.result; };
    reader.readAsDataURL(file);
    item.append(image);
    shots.append(item);
  }
});
