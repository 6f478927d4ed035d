/** Alarms, incidents and the ring of what is chosen, on the canvas over the map: one picture each, in one draw call. */
import { mercatorX, mercatorY } from './fleet';
import { images, type AlarmMark, type IncidentRow } from './marks';
import { program, type Painter, type Sight } from './overlay';
import type { Palette } from './palette';
import type { Place } from './types';

/** A tile of the texture, in its pixels: two for one of the page. */
const TILE = 80;
/** An incident's pin stands with its point on its place, so many pixels of the page above its middle. */
const PIN = 14;
const NAMES = [...[1, 2, 3, 4].map((level) => `alarm-${level}`), ...[1, 2, 3, 4].map((level) => `alarm-${level}-calling`), ...[1, 2, 3, 4].map((level) => `incident-${level}`), 'chosen'];
const INCIDENT = NAMES.indexOf('incident-1');
const CALLING = 4;
const CHOSEN = NAMES.indexOf('chosen');
/** Marks whose middles are this near (pixels of the page) hide each other: the most severe is drawn. */
const CELL = 5;
const HIT = { alarm: 15, incident: 19 };

const VERTEX = `#version 300 es
uniform mat4 u_matrix;
uniform vec2 u_viewport;
uniform float u_ratio;
in vec2 a_corner;
in vec3 a_mark;
out vec2 v_at;
void main() {
  vec4 centre = u_matrix * vec4(a_mark.xy, 0.0, 1.0);
  vec2 size = vec2(${TILE / 4}.0) * u_ratio;
  float lift = a_mark.z >= ${INCIDENT}.0 && a_mark.z < ${CHOSEN}.0 ? ${PIN}.0 * u_ratio : 0.0;
  // On whole pixels, else the pictures would be blurred.
  vec2 at = floor((centre.xy / centre.w * 0.5 + 0.5) * u_viewport + 0.5) + a_corner * size + vec2(0.0, lift);
  gl_Position = vec4(at / u_viewport * 2.0 - 1.0, 0.0, 1.0);
  v_at = vec2((a_mark.z + a_corner.x * 0.5 + 0.5) / ${NAMES.length}.0, 0.5 - a_corner.y * 0.5);
}`;
const FRAGMENT = `#version 300 es
precision mediump float;
uniform sampler2D u_pictures;
in vec2 v_at;
out vec4 colour;
void main() { colour = texture(u_pictures, v_at); }`;

/** Marks of a kind as columns. */
interface Marks {
  keys: string[];
  x: Float64Array;
  y: Float64Array;
  /** Which picture. */
  picture: Uint8Array;
  severity: Uint8Array;
}
const NONE: Marks = { keys: [], x: new Float64Array(0), y: new Float64Array(0), picture: new Uint8Array(0), severity: new Uint8Array(0) };
type Kind = 'alarm' | 'incident';

function marks<T extends Place & { id: number; severity: number }>(rows: readonly T[], picture: (row: T) => number): Marks {
  const made: Marks = { keys: new Array<string>(rows.length), x: new Float64Array(rows.length), y: new Float64Array(rows.length), picture: new Uint8Array(rows.length), severity: new Uint8Array(rows.length) };
  for (const [index, row] of rows.entries()) {
    made.keys[index] = String(row.id);
    made.x[index] = mercatorX(row.lon);
    made.y[index] = mercatorY(row.lat);
    made.picture[index] = picture(row);
    made.severity[index] = row.severity;
  }
  return made;
}

export class MarkLayer implements Painter {
  shown: Record<Kind, boolean> = { alarm: true, incident: true };
  readonly anchor: readonly [number, number];
  #marks: Record<Kind, Marks> = { alarm: NONE, incident: NONE };
  #chosen: [number, number] | null = null;
  #palette: Palette;
  #program: WebGLProgram | null = null;
  #array: WebGLVertexArrayObject | null = null;
  #buffer: WebGLBuffer | null = null;
  #texture: WebGLTexture | null = null;
  #painted = false;
  /** The zoom at which the marks were laid out; NaN where they have changed since. */
  #laid = Number.NaN;
  #count = 0;

  constructor(anchor: readonly [number, number], p: Palette) {
    this.anchor = anchor;
    this.#palette = p;
  }

  putAlarms(rows: readonly AlarmMark[]): void {
    this.#marks.alarm = marks(rows, ({ severity, calling }) => severity - 1 + (calling ? CALLING : 0));
    this.#laid = Number.NaN;
  }

  putIncidents(rows: readonly IncidentRow[]): void {
    const placed = rows.filter((row): row is IncidentRow & Place => row.lon !== null && row.lat !== null);
    this.#marks.incident = marks(placed, ({ severity }) => INCIDENT + severity - 1);
    this.#laid = Number.NaN;
  }

  choose(at: Place | null): void {
    this.#chosen = at && [mercatorX(at.lon), mercatorY(at.lat)];
    this.#laid = Number.NaN;
  }

  show(kind: Kind, shown: boolean): void {
    this.shown[kind] = shown;
    this.#laid = Number.NaN;
  }

  /** The nearest mark to a place, `perPixel` Mercator units of the world to a pixel of the page. Incidents lie on top. */
  hit(at: Place, perPixel: number): { kind: Kind; key: string } | null {
    const [x, y] = [mercatorX(at.lon), mercatorY(at.lat)];
    for (const kind of ['incident', 'alarm'] as const) {
      if (!this.shown[kind]) continue;
      const found = this.#marks[kind];
      const lift = kind === 'incident' ? PIN * perPixel : 0;
      const far = (index: number) => Math.hypot(found.x[index]! - x, found.y[index]! - lift - y);
      let least = HIT[kind] * perPixel;
      for (let index = 0; index < found.keys.length; index += 1) least = Math.min(least, far(index));
      if (least === HIT[kind] * perPixel) continue;
      // Of those that cover each other the most severe is seen, so it is meant.
      let best = -1;
      for (let index = 0; index < found.keys.length; index += 1) {
        if (far(index) <= least + CELL * perPixel && (best < 0 || found.severity[index]! > found.severity[best]!)) best = index;
      }
      return { kind, key: found.keys[best]! };
    }
    return null;
  }

  paint(p: Palette): void {
    this.#palette = p;
    this.#painted = false;
  }

  begin(gl: WebGL2RenderingContext): void {
    this.#program = program(gl, VERTEX, FRAGMENT);
    this.#texture = gl.createTexture();
    this.#buffer = gl.createBuffer();
    this.#array = gl.createVertexArray();
    gl.bindVertexArray(this.#array);
    const corners = gl.createBuffer();
    for (const [name, buffer, size] of [
      ['a_corner', corners, 2],
      ['a_mark', this.#buffer, 3],
    ] as const) {
      const at = gl.getAttribLocation(this.#program, name);
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.enableVertexAttribArray(at);
      gl.vertexAttribPointer(at, size, gl.FLOAT, false, 0, 0);
      gl.vertexAttribDivisor(at, buffer === corners ? 0 : 1);
    }
    gl.bindBuffer(gl.ARRAY_BUFFER, corners);
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([-1, -1, 1, -1, -1, 1, 1, 1]), gl.STATIC_DRAW);
    gl.bindVertexArray(null);
    this.#painted = false;
    this.#laid = Number.NaN;
  }

  draw(gl: WebGL2RenderingContext, sight: Sight): void {
    // Which of them hide each other changes with the zoom alone; a little of it makes no difference.
    if (!(Math.abs(sight.zoom - this.#laid) < 0.2)) this.#lay(gl, sight.zoom);
    if (!this.#count) return;
    if (!this.#painted) this.#drawPictures(gl);
    gl.useProgram(this.#program);
    gl.bindTexture(gl.TEXTURE_2D, this.#texture);
    gl.uniformMatrix4fv(gl.getUniformLocation(this.#program!, 'u_matrix'), false, sight.matrix);
    gl.uniform2f(gl.getUniformLocation(this.#program!, 'u_viewport'), sight.width, sight.height);
    gl.uniform1f(gl.getUniformLocation(this.#program!, 'u_ratio'), sight.ratio);
    gl.bindVertexArray(this.#array);
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, this.#count);
    gl.bindVertexArray(null);
  }

  /** Upload what is to be drawn, the uppermost last. */
  #lay(gl: WebGL2RenderingContext, zoom: number): void {
    const { alarm, incident } = this.#marks;
    const row: number[] = [];
    const [left, top] = this.anchor;
    const put = (x: number, y: number, picture: number) => row.push(x - left, y - top, picture);
    if (this.#chosen) put(...this.#chosen, CHOSEN);
    if (this.shown.alarm) for (const index of this.#uppermost(alarm, zoom)) put(alarm.x[index]!, alarm.y[index]!, alarm.picture[index]!);
    if (this.shown.incident) for (const index of this.#uppermost(incident, zoom)) put(incident.x[index]!, incident.y[index]!, incident.picture[index]!);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.#buffer);
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array(row), gl.DYNAMIC_DRAW);
    this.#count = row.length / 3;
    this.#laid = zoom;
  }

  /** Indices of the marks that are seen at a zoom, by severity: of those on the same spot one. */
  #uppermost({ x, y, severity, picture }: Marks, zoom: number): number[] {
    const cell = (512 * 2 ** zoom) / CELL;
    const found = new Map<number, number>();
    for (let index = x.length - 1; index >= 0; index -= 1) {
      const spot = Math.floor(x[index]! * cell) * 0x4000000 + Math.floor(y[index]! * cell);
      const other = found.get(spot);
      if (other === undefined || severity[index]! > severity[other]! || (severity[index] === severity[other] && picture[index]! > picture[other]!)) found.set(spot, index);
    }
    return [...found.values()].sort((a, b) => severity[a]! - severity[b]! || y[a]! - y[b]!);
  }

  #drawPictures(gl: WebGL2RenderingContext): void {
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [TILE * NAMES.length, TILE];
    const pen = canvas.getContext('2d')!;
    for (const [name, image] of Object.entries(images(this.#palette))) {
      pen.putImageData(image, NAMES.indexOf(name) * TILE + (TILE - image.width) / 2, (TILE - image.height) / 2);
    }
    gl.bindTexture(gl.TEXTURE_2D, this.#texture);
    gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, true);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, canvas);
    for (const filter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, filter, gl.LINEAR);
    for (const side of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, side, gl.CLAMP_TO_EDGE);
    this.#painted = true;
  }
}
