/** A map of the communes to set one point on: tap, drag, pinch, keys. Drawn from outlines; nothing is fetched from elsewhere. */

const LAND = "#f4f7f2", CHOSEN = "#d3ebe3", LINE = "#93a9a4", NAME = "#3d5059", PIN = "#b3261e";

export class PlaceMap {
  #canvas;
  #told;
  #units = null;
  #waiting = null;
  #home = [105.1, 10.05, 106.85, 11.0];
  #centre = [105.9, 10.5];
  #scale = 1;
  #stretch = 1 / Math.cos((10.5 * Math.PI) / 180);
  #point = null;
  #chosen = "";
  #dirty = true;
  #pointers = new Map();
  #moved = 0;

  /** `told(point, code, outside)` is called when the point is set or removed, or was refused as lying outside. */
  constructor(canvas, told) {
    this.#canvas = canvas;
    this.#told = told;
    new ResizeObserver(() => this.#fit()).observe(canvas.parentElement);
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 400), event.offsetX, event.offsetY);
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      if (!this.#pointers.size) this.#moved = 0;
      this.#pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
      if (this.#pointers.size > 1) this.#moved = 100;
    });
    canvas.addEventListener("pointermove", (event) => this.#drag(event));
    canvas.addEventListener("pointerup", (event) => {
      this.#pointers.delete(event.pointerId);
      if (this.#moved < 8 && !this.#pointers.size) this.point(this.#place(event.offsetX, event.offsetY));
    });
    canvas.addEventListener("pointercancel", (event) => this.#pointers.delete(event.pointerId));
    canvas.addEventListener("keydown", (event) => this.#key(event));
    const frame = () => {
      if (this.#dirty) this.#draw();
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  /** Take the communes: [{code, name, lon, lat, rings}], rings empty where no outline is known. */
  outline(units) {
    this.#units = units;
    const box = [Infinity, Infinity, -Infinity, -Infinity];
    for (const unit of units) {
      unit.box = [Infinity, Infinity, -Infinity, -Infinity];
      const points = unit.rings.length ? unit.rings.flat() : [[unit.lon - .03, unit.lat - .03], [unit.lon + .03, unit.lat + .03]];
      for (const [lon, lat] of points) {
        for (const grown of [unit.box, box]) {
          grown[0] = Math.min(grown[0], lon); grown[1] = Math.min(grown[1], lat);
          grown[2] = Math.max(grown[2], lon); grown[3] = Math.max(grown[3], lat);
        }
      }
    }
    if (box[0] < box[2]) this.#home = box;
    this.home();
    if (this.#waiting) this.point(...this.#waiting);
    this.#waiting = null;
  }

  home() {
    this.#frame(this.#home, 0.94);
  }

  /** Show one commune and mark it. */
  show(code) {
    const unit = this.#units?.find((found) => found.code === code);
    if (!unit) return;
    this.#chosen = code;
    this.#frame(unit.box, 0.8);
  }

  /** Set the point, or remove it with null; false if it lies outside the province. With `near` the map goes there.
      Before the communes are known nobody can say where it lies: it is set when they are. */
  point(at, near = false) {
    if (!this.#units) {
      this.#waiting = [at, near];
      return true;
    }
    const code = at ? this.#within(at) : "";
    if (at && !code) {
      this.#told(null, "", true);
      this.#point = null;
      this.#dirty = true;
      return false;
    }
    this.#point = at;
    this.#chosen = code;
    if (at && near) {
      this.#centre = [...at];
      this.#scale = Math.max(this.#scale, 8000);
    }
    this.#dirty = true;
    this.#told(at, code);
    return true;
  }

  zoom(factor, x = this.#canvas.clientWidth / 2, y = this.#canvas.clientHeight / 2) {
    const scale = Math.max(150, Math.min(400_000, this.#scale * factor));
    const dx = x - this.#canvas.clientWidth / 2, dy = y - this.#canvas.clientHeight / 2;
    this.#centre[0] += dx / this.#scale - dx / scale;
    this.#centre[1] -= (dy / this.#scale - dy / scale) / this.#stretch;
    this.#scale = scale;
    this.#dirty = true;
  }

  #frame([west, south, east, north], share) {
    this.#centre = [(west + east) / 2, (south + north) / 2];
    const width = this.#canvas.clientWidth || 1, height = this.#canvas.clientHeight || 1;
    this.#scale = share * Math.min(width / (east - west), height / ((north - south) * this.#stretch));
    this.#dirty = true;
  }

  #fit() {
    const ratio = devicePixelRatio || 1, first = this.#scale === 1;
    this.#canvas.width = Math.round(this.#canvas.clientWidth * ratio);
    this.#canvas.height = Math.round(this.#canvas.clientHeight * ratio);
    if (first) this.home();
    this.#dirty = true;
  }

  #xy(lon, lat) {
    return [(lon - this.#centre[0]) * this.#scale + this.#canvas.clientWidth / 2,
      (this.#centre[1] - lat) * this.#scale * this.#stretch + this.#canvas.clientHeight / 2];
  }

  #place(x, y) {
    return [this.#centre[0] + (x - this.#canvas.clientWidth / 2) / this.#scale,
      this.#centre[1] - (y - this.#canvas.clientHeight / 2) / this.#scale / this.#stretch];
  }

  /** The commune of a place: by outline, else by the nearest centre. */
  #within([lon, lat]) {
    let nearest = "", best = 0.15 ** 2;
    for (const unit of this.#units) {
      if (!unit.rings.length) {
        const far = (unit.lon - lon) ** 2 + (unit.lat - lat) ** 2;
        if (far < best) [best, nearest] = [far, unit.code];
        continue;
      }
      const [west, south, east, north] = unit.box;
      if (lon < west || lon > east || lat < south || lat > north) continue;
      let inside = false;
      for (const ring of unit.rings)
        for (let i = 0, j = ring.length - 1; i < ring.length; j = i++)
          if ((ring[i][1] > lat) !== (ring[j][1] > lat)
            && lon < (ring[j][0] - ring[i][0]) * (lat - ring[i][1]) / (ring[j][1] - ring[i][1]) + ring[i][0]) inside = !inside;
      if (inside) return unit.code;
    }
    return nearest;
  }

  #drag(event) {
    const before = this.#pointers.get(event.pointerId);
    if (!before) return;
    const now = [event.offsetX, event.offsetY];
    if (this.#pointers.size === 2) {
      const other = [...this.#pointers].find(([id]) => id !== event.pointerId)[1];
      const apart = ([x, y]) => Math.hypot(x - other[0], y - other[1]) || 1;
      this.zoom(apart(now) / apart(before), other[0], other[1]);
    } else {
      this.#moved += Math.hypot(now[0] - before[0], now[1] - before[1]);
      if (this.#moved >= 8) {
        this.#centre[0] -= (now[0] - before[0]) / this.#scale;
        this.#centre[1] += (now[1] - before[1]) / this.#scale / this.#stretch;
        this.#dirty = true;
      }
    }
    this.#pointers.set(event.pointerId, now);
  }

  #key(event) {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    if (steps[event.key]) {
      const far = (event.shiftKey ? 40 : 8) / this.#scale, [dx, dy] = steps[event.key];
      const from = this.#point ?? this.#centre;
      const to = [from[0] + dx * far, from[1] + dy * far / this.#stretch];
      if (this.point(to)) {
        const [x, y] = this.#xy(...to);
        if (x < 20 || y < 20 || x > this.#canvas.clientWidth - 20 || y > this.#canvas.clientHeight - 20) this.#centre = to;
      }
    } else if (event.key === "Enter" || event.key === " ") this.point([...this.#centre]);
    else if (event.key === "+" || event.key === "=") this.zoom(1.4);
    else if (event.key === "-") this.zoom(1 / 1.4);
    else return;
    event.preventDefault();
  }

  #draw() {
    this.#dirty = false;
    const pen = this.#canvas.getContext("2d"), ratio = devicePixelRatio || 1;
    const width = this.#canvas.clientWidth, height = this.#canvas.clientHeight;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.strokeStyle = LINE;
    pen.lineWidth = 1;
    for (const unit of this.#units ?? []) {
      pen.fillStyle = unit.code === this.#chosen ? CHOSEN : LAND;
      pen.beginPath();
      for (const ring of unit.rings) {
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
    this.#names(pen, width, height);
    if (!this.#point) return;
    const [x, y] = this.#xy(...this.#point);
    pen.fillStyle = PIN;
    pen.strokeStyle = "#fff";
    pen.lineWidth = 2;
    pen.beginPath();
    pen.arc(x, y - 20, 10, Math.PI * 0.86, Math.PI * 0.14);
    pen.lineTo(x, y);
    pen.closePath();
    pen.fill();
    pen.stroke();
    pen.fillStyle = "#fff";
    pen.beginPath();
    pen.arc(x, y - 20, 3.6, 0, 7);
    pen.fill();
  }

  /** Names where they do not cover one another; the chosen commune's first. */
  #names(pen, width, height) {
    pen.textAlign = "center";
    const taken = [];
    const order = [...(this.#units ?? [])].sort((a, b) => (b.code === this.#chosen) - (a.code === this.#chosen));
    for (const unit of order) {
      const [x, y] = this.#xy(unit.lon, unit.lat);
      if (x < 0 || y < 0 || x > width || y > height) continue;
      pen.font = `${unit.code === this.#chosen ? "600 " : ""}12.5px system-ui, sans-serif`;
      pen.fillStyle = NAME;
      const half = pen.measureText(unit.name).width / 2 + 7;
      if (taken.some(([tx, ty, th]) => Math.abs(tx - x) < th + half && Math.abs(ty - y) < 20)) continue;
      taken.push([x, y, half]);
      if (!unit.rings.length) pen.fillRect(x - 2, y + 4, 4, 4);
      pen.fillText(unit.name, x, y);
    }
  }
}
