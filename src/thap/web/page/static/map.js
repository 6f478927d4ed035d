/** A plain map on a canvas: outlines of communes, stations, movers, alarms. */

import { number, t } from "./words.js";

const canvas = document.querySelector("#canvas");
const tip = document.querySelector("#map-tip");
const HOME = [105.1, 10.05, 106.85, 11.0];

export class ProvinceMap {
  #shapes = [];
  #names = [];
  #home = HOME;
  #centre = [0, 0];
  #scale = 1;  // pixels a degree of longitude
  #stretch = 1 / Math.cos((10.5 * Math.PI) / 180);
  #dirty = true;
  #movers;
  #things;
  #alarms;
  #pointers = new Map();

  /** The three are Maps of objects with lon and lat; they are read at each drawing. */
  constructor(movers, things, alarms) {
    this.#movers = movers;
    this.#things = things;
    this.#alarms = alarms;
    new ResizeObserver(() => this.#fit()).observe(canvas.parentElement);
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.#zoom(Math.exp(-event.deltaY / 400), event.offsetX, event.offsetY);
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.#pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
    });
    canvas.addEventListener("pointermove", (event) => this.#drag(event));
    for (const end of ["pointerup", "pointercancel"])
      canvas.addEventListener(end, (event) => this.#pointers.delete(event.pointerId));
    canvas.addEventListener("pointerleave", () => { tip.hidden = true; });
    canvas.addEventListener("keydown", (event) => this.#key(event));
    document.querySelector("#map-in").addEventListener("click", () => this.#zoom(1.5));
    document.querySelector("#map-out").addEventListener("click", () => this.#zoom(1 / 1.5));
    document.querySelector("#map-home").addEventListener("click", () => this.home());
    const frame = () => {
      if (this.#dirty) this.#draw();
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  /** Take a GeoJSON FeatureCollection of communes; points are communes without an outline. */
  outline(collection) {
    this.#shapes = [];
    this.#names = [];
    const box = [Infinity, Infinity, -Infinity, -Infinity];
    const grow = ([lon, lat]) => {
      box[0] = Math.min(box[0], lon); box[1] = Math.min(box[1], lat);
      box[2] = Math.max(box[2], lon); box[3] = Math.max(box[3], lat);
    };
    for (const { geometry, properties } of collection.features) {
      if (geometry.type === "Point") {
        grow(geometry.coordinates);
      } else {
        for (const polygon of geometry.type === "Polygon" ? [geometry.coordinates] : geometry.coordinates) {
          this.#shapes.push(polygon);
          polygon[0].forEach(grow);
        }
      }
      this.#names.push({ name: properties.name, lon: properties.lon, lat: properties.lat,
        bare: geometry.type === "Point" });
    }
    if (box[0] < box[2]) this.#home = box;
    this.home();
  }

  /** Show the whole province. */
  home() {
    const [west, south, east, north] = this.#home;
    this.#centre = [(west + east) / 2, (south + north) / 2];
    const width = canvas.clientWidth || 1, height = canvas.clientHeight || 1;
    this.#scale = 0.94 * Math.min(width / (east - west), height / ((north - south) * this.#stretch));
    this.touch();
  }

  /** Something shown has changed. */
  touch() {
    this.#dirty = true;
  }

  #fit() {
    const ratio = devicePixelRatio || 1;
    const before = canvas.width;
    canvas.width = Math.round(canvas.clientWidth * ratio);
    canvas.height = Math.round(canvas.clientHeight * ratio);
    if (before === 300 || this.#scale === 1) this.home();
    this.touch();
  }

  #xy(lon, lat) {
    return [(lon - this.#centre[0]) * this.#scale + canvas.clientWidth / 2,
      (this.#centre[1] - lat) * this.#scale * this.#stretch + canvas.clientHeight / 2];
  }

  #zoom(factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
    const scale = Math.max(100, Math.min(400_000, this.#scale * factor));
    const dx = x - canvas.clientWidth / 2, dy = y - canvas.clientHeight / 2;
    this.#centre[0] += dx / this.#scale - dx / scale;
    this.#centre[1] -= (dy / this.#scale - dy / scale) / this.#stretch;
    this.#scale = scale;
    this.touch();
  }

  #pan(dx, dy) {
    this.#centre[0] -= dx / this.#scale;
    this.#centre[1] += dy / this.#scale / this.#stretch;
    this.touch();
  }

  #drag(event) {
    const before = this.#pointers.get(event.pointerId);
    if (!before) {
      this.#point(event.offsetX, event.offsetY);
      return;
    }
    const here = [event.offsetX, event.offsetY];
    if (this.#pointers.size === 2) {
      const other = [...this.#pointers].find(([id]) => id !== event.pointerId)[1];
      const apart = ([x, y]) => Math.hypot(x - other[0], y - other[1]) || 1;
      this.#zoom(apart(here) / apart(before), other[0], other[1]);
    } else {
      this.#pan(here[0] - before[0], here[1] - before[1]);
    }
    this.#pointers.set(event.pointerId, here);
  }

  #key(event) {
    const steps = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
    if (steps[event.key]) this.#pan(...steps[event.key]);
    else if (event.key === "+" || event.key === "=") this.#zoom(1.4);
    else if (event.key === "-") this.#zoom(1 / 1.4);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Name what lies under the pointer. */
  #point(x, y) {
    let best = null, nearest = 12;
    const consider = (key, at, text) => {
      if (at.lon === undefined || at.lon === null) return;
      const [px, py] = this.#xy(at.lon, at.lat);
      const distance = Math.hypot(px - x, py - y);
      if (distance < nearest) [nearest, best] = [distance, text];
    };
    for (const [key, thing] of this.#things) consider(key, thing, thing.title || key);
    for (const [key, mover] of this.#movers) {
      const speed = mover.speed_kn === null ? "" : ` · ${t("map.speed", { speed: number(mover.speed_kn, 1) })}`;
      consider(key, mover, `${mover.name || key}${speed}`);
    }
    tip.hidden = best === null;
    if (best === null) return;
    tip.textContent = best;
    tip.style.left = `${Math.min(x + 12, canvas.clientWidth - tip.offsetWidth - 4)}px`;
    tip.style.top = `${Math.max(4, y - 30)}px`;
  }

  #draw() {
    this.#dirty = false;
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const ratio = devicePixelRatio || 1;
    const pen = canvas.getContext("2d");
    const width = canvas.clientWidth, height = canvas.clientHeight;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.fillStyle = colour("--land");
    pen.strokeStyle = colour("--border");
    pen.lineWidth = 1;
    for (const rings of this.#shapes) {
      pen.beginPath();
      for (const ring of rings) {
        ring.forEach(([lon, lat], index) => {
          const [x, y] = this.#xy(lon, lat);
          if (index) pen.lineTo(x, y);
          else pen.moveTo(x, y);
        });
        pen.closePath();
      }
      pen.fill("evenodd");
      pen.stroke();
    }
    this.#drawNames(pen, colour("--faint"), width, height);
    pen.fillStyle = colour("--thing");
    for (const { lon, lat } of this.#things.values()) {
      if (lon === null || lon === undefined) continue;
      const [x, y] = this.#xy(lon, lat);
      pen.fillRect(x - 3, y - 3, 6, 6);
    }
    pen.fillStyle = colour("--mover");
    for (const { lon, lat, course_deg: course, speed_kn: speed } of this.#movers.values()) {
      const [x, y] = this.#xy(lon, lat);
      if (x < -9 || y < -9 || x > width + 9 || y > height + 9) continue;
      if (course === null || !(speed > 0.3)) {
        pen.beginPath();
        pen.arc(x, y, 2.6, 0, 7);
        pen.fill();
        continue;
      }
      const a = (course * Math.PI) / 180, sin = Math.sin(a), cos = Math.cos(a);
      pen.beginPath();
      pen.moveTo(x + 7 * sin, y - 7 * cos);
      pen.lineTo(x - 4 * sin - 3.2 * cos, y + 4 * cos - 3.2 * sin);
      pen.lineTo(x - 4 * sin + 3.2 * cos, y + 4 * cos + 3.2 * sin);
      pen.fill();
    }
    for (const { lon, lat, severity, state } of this.#alarms.values()) {
      if (lon === null || lon === undefined) continue;
      const [x, y] = this.#xy(lon, lat);
      pen.strokeStyle = colour(`--severity-${severity}`);
      pen.lineWidth = state === "acknowledged" ? 1.5 : 3;
      pen.beginPath();
      pen.arc(x, y, 9, 0, 7);
      pen.stroke();
    }
  }

  /** Names where they do not cover one another. */
  #drawNames(pen, colour, width, height) {
    pen.fillStyle = colour;
    pen.font = "11px system-ui, sans-serif";
    pen.textAlign = "center";
    const taken = [];
    for (const { name, lon, lat, bare } of this.#names) {
      const [x, y] = this.#xy(lon, lat);
      if (x < 0 || y < 0 || x > width || y > height) continue;
      if (bare) pen.fillRect(x - 1, y - 1, 2, 2);
      const half = pen.measureText(name).width / 2 + 6;
      if (taken.some(([tx, ty, th]) => Math.abs(tx - x) < th + half && Math.abs(ty - y) < 18)) continue;
      taken.push([x, y, half]);
      pen.fillText(name, x, y - 5);
    }
  }
}
