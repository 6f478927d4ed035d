/**
 * All movers: an arrow each, turned by its course, a dot where it rests, and the way it came.
 *
 * A few draw calls, whatever their number. What changed is uploaded once a second, when a frame came; while the map is
 * dragged nothing is computed but a matrix.
 */
import { TAIL, type Fleet } from './fleet';
import { program, type Painter, type Sight } from './overlay';
import type { Palette } from './palette';

const POINT_VERTEX = `#version 300 es
uniform mat4 u_matrix;
uniform vec2 u_viewport;
uniform float u_size;
uniform float u_chosen;
in vec2 a_corner;
in vec4 a_mover;
out vec2 v_at;
out float v_moves;
out float v_chosen;
void main() {
  v_at = a_corner;
  v_moves = a_mover.w;
  v_chosen = float(gl_InstanceID) == u_chosen ? 1.0 : 0.0;
  if (a_mover.w < 0.0) { gl_Position = vec4(2.0, 2.0, 2.0, 1.0); return; }
  vec4 centre = u_matrix * vec4(a_mover.xy, 0.0, 1.0);
  float angle = a_mover.z < 0.0 ? 0.0 : a_mover.z;
  if (a_mover.z < 0.0) v_moves = 0.0;
  vec2 corner = a_corner * (v_chosen > 0.5 ? 1.5 : 1.0);
  float s = sin(angle), c = cos(angle);
  vec2 turned = vec2(c * corner.x + s * corner.y, c * corner.y - s * corner.x);
  gl_Position = centre + vec4(turned * u_size / u_viewport * 2.0 * centre.w, 0.0, 0.0);
}`;
const POINT_FRAGMENT = `#version 300 es
precision mediump float;
uniform vec3 u_colour;
uniform vec3 u_edge;
uniform vec3 u_accent;
in vec2 v_at;
in float v_moves;
in float v_chosen;
out vec4 colour;
void main() {
  float d;
  if (v_moves > 0.5) {
    // a slim arrow head: below two edges that meet at the bow, above the notch at the stern
    float side = abs(v_at.x) * 0.94 + v_at.y * 0.34 - 0.30;
    float stern = -v_at.y - 0.72 + abs(v_at.x) * 0.55;
    d = max(side, stern);
  } else d = length(v_at) - 0.5;
  float blur = fwidth(d);
  float body = 1.0 - smoothstep(-blur, blur, d);
  float edge = smoothstep(-0.16 - blur, -0.16 + blur, d);
  vec3 rgb = mix(v_chosen > 0.5 ? u_accent : u_colour, u_edge, edge);
  colour = vec4(rgb * body, body);
}`;
const TAIL_VERTEX = `#version 300 es
uniform mat4 u_matrix;
in vec2 a_from;
in vec2 a_to;
in float a_age;
in float a_end;
out float v_fade;
void main() {
  vec2 at = a_end > 0.5 ? a_to : a_from;
  v_fade = 1.0 - (a_age + a_end) / float(${TAIL - 1});
  gl_Position = a_from.x > 1000.0 || a_to.x > 1000.0 ? vec4(2.0, 2.0, 2.0, 1.0) : u_matrix * vec4(at, 0.0, 1.0);
}`;
const TAIL_FRAGMENT = `#version 300 es
precision mediump float;
uniform vec3 u_colour;
in float v_fade;
out vec4 colour;
void main() { colour = vec4(u_colour * v_fade * 0.8, v_fade * 0.8); }`;

type Colour = [number, number, number];
type Names<T extends string> = Record<T, WebGLUniformLocation | null>;

/** #rrggbb as shares of 1. */
export function rgb(colour: string): Colour {
  const value = Number.parseInt(colour.slice(1, 7), 16);
  return [(value >> 16) / 255, ((value >> 8) & 255) / 255, (value & 255) / 255];
}

export class MoverLayer implements Painter {
  /** Whether tails are drawn. */
  tails = true;
  shown = true;
  /** Index of the one that is selected; -1 for none. */
  chosen = -1;
  #fleet: Fleet;
  #points: WebGLProgram | null = null;
  #lines: WebGLProgram | null = null;
  #pointUniforms = {} as Names<'u_matrix' | 'u_viewport' | 'u_size' | 'u_chosen' | 'u_colour' | 'u_edge' | 'u_accent'>;
  #lineUniforms = {} as Names<'u_matrix' | 'u_colour'>;
  #pointArray: WebGLVertexArrayObject | null = null;
  #lineArrays: WebGLVertexArrayObject[] = [];
  #buffers: Record<'corner' | 'mover' | 'tail' | 'end', WebGLBuffer | null> = { corner: null, mover: null, tail: null, end: null };
  #uploaded = -1;
  #uploadedTails = -1;
  #room = 0;
  #age = -1;
  #body: Colour = [1, 1, 1];
  #edge: Colour = [0, 0, 0];
  #accent: Colour = [1, 1, 1];

  constructor(fleet: Fleet) {
    this.#fleet = fleet;
  }

  get anchor(): readonly [number, number] {
    return this.#fleet.anchor;
  }

  paint(p: Palette): void {
    this.#body = rgb(p.dark ? '#e8f1f8' : '#17344d');
    this.#edge = rgb(p.dark ? '#12202c' : '#ffffff');
    this.#accent = rgb(p.accent);
  }

  begin(gl: WebGL2RenderingContext): void {
    this.#points = program(gl, POINT_VERTEX, POINT_FRAGMENT);
    this.#lines = program(gl, TAIL_VERTEX, TAIL_FRAGMENT);
    for (const name of ['u_matrix', 'u_viewport', 'u_size', 'u_chosen', 'u_colour', 'u_edge', 'u_accent'] as const) {
      this.#pointUniforms[name] = gl.getUniformLocation(this.#points, name);
    }
    for (const name of ['u_matrix', 'u_colour'] as const) this.#lineUniforms[name] = gl.getUniformLocation(this.#lines, name);
    for (const name of ['corner', 'mover', 'tail', 'end'] as const) this.#buffers[name] = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, this.#buffers.corner);
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([-1, -1, 1, -1, -1, 1, 1, 1]), gl.STATIC_DRAW);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.#buffers.end);
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([0, 1]), gl.STATIC_DRAW);
    this.#age = gl.getAttribLocation(this.#lines, 'a_age');
    this.#arrange(gl);
    this.#uploaded = this.#uploadedTails = -1;
    this.#room = 0;
  }

  /** Lay out the attributes: a mover, and a step of its tail, is one instance. */
  #arrange(gl: WebGL2RenderingContext): void {
    const attribute = (made: WebGLProgram, name: string, buffer: WebGLBuffer | null, size: number, stride: number, offset: number, divisor: number) => {
      const at = gl.getAttribLocation(made, name);
      if (at < 0) return;
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.enableVertexAttribArray(at);
      gl.vertexAttribPointer(at, size, gl.FLOAT, false, stride, offset);
      gl.vertexAttribDivisor(at, divisor);
    };
    this.#pointArray = gl.createVertexArray();
    gl.bindVertexArray(this.#pointArray);
    attribute(this.#points!, 'a_corner', this.#buffers.corner, 2, 0, 0, 0);
    attribute(this.#points!, 'a_mover', this.#buffers.mover, 4, 0, 0, 1);
    this.#lineArrays = Array.from({ length: TAIL - 1 }, (_none, step) => {
      const array = gl.createVertexArray();
      gl.bindVertexArray(array);
      attribute(this.#lines!, 'a_end', this.#buffers.end, 1, 0, 0, 0);
      attribute(this.#lines!, 'a_from', this.#buffers.tail, 2, TAIL * 8, step * 8, 1);
      attribute(this.#lines!, 'a_to', this.#buffers.tail, 2, TAIL * 8, step * 8 + 8, 1);
      return array;
    });
    gl.bindVertexArray(null);
  }

  #upload(gl: WebGL2RenderingContext, withTails: boolean): void {
    const { size, points, tails, version } = this.#fleet;
    const put = (buffer: WebGLBuffer | null, data: Float32Array, width: number) => {
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.bufferSubData(gl.ARRAY_BUFFER, 0, data, 0, size * width);
    };
    if (size > this.#room) {
      this.#room = points.length / 4;
      for (const [buffer, data] of [[this.#buffers.mover, points], [this.#buffers.tail, tails]] as const) {
        gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
        gl.bufferData(gl.ARRAY_BUFFER, data.byteLength, gl.DYNAMIC_DRAW);
      }
      this.#uploaded = this.#uploadedTails = -1;
    }
    if (this.#uploaded !== version) put(this.#buffers.mover, points, 4);
    this.#uploaded = version;
    if (!withTails || this.#uploadedTails === version) return;
    put(this.#buffers.tail, tails, TAIL * 2);
    this.#uploadedTails = version;
  }

  draw(gl: WebGL2RenderingContext, sight: Sight): void {
    const { size } = this.#fleet;
    if (!size || !this.shown) return;
    const withTails = this.tails && sight.zoom > 8.5;
    this.#upload(gl, withTails);
    if (withTails) {
      gl.useProgram(this.#lines);
      gl.uniformMatrix4fv(this.#lineUniforms.u_matrix, false, sight.matrix);
      gl.uniform3fv(this.#lineUniforms.u_colour, this.#body);
      for (const [step, array] of this.#lineArrays.entries()) {
        gl.bindVertexArray(array);
        gl.vertexAttrib1f(this.#age, step);
        gl.drawArraysInstanced(gl.LINES, 0, 2, size);
      }
    }
    gl.useProgram(this.#points);
    gl.uniformMatrix4fv(this.#pointUniforms.u_matrix, false, sight.matrix);
    gl.uniform2f(this.#pointUniforms.u_viewport, sight.width, sight.height);
    gl.uniform1f(this.#pointUniforms.u_size, sight.ratio * Math.min(11, Math.max(4.5, sight.zoom - 2)));
    gl.uniform1f(this.#pointUniforms.u_chosen, this.chosen);
    gl.uniform3fv(this.#pointUniforms.u_colour, this.#body);
    gl.uniform3fv(this.#pointUniforms.u_edge, this.#edge);
    gl.uniform3fv(this.#pointUniforms.u_accent, this.#accent);
    gl.bindVertexArray(this.#pointArray);
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, size);
    gl.bindVertexArray(null);
  }
}
