/**
 * A canvas of its own over the map, for what changes while the map stands still: movers, alarms, incidents.
 *
 * What MapLibre draws it draws anew as a whole, however little of it changed. Here a change costs what is on this canvas.
 * A layer that draws nothing hands over each frame of the map its matrix, and the canvas is drawn in that same frame: it
 * follows exactly.
 */
import type { CustomLayerInterface, CustomRenderMethodInput, Map as LibreMap } from 'maplibre-gl';

import type { Palette } from './palette';

/** How the map is looked at. */
export interface Sight {
  /** From places relative to the painter's anchor, in Mercator units of the world, to the canvas. */
  matrix: Float32Array;
  zoom: number;
  /** Pixels of the canvas. */
  width: number;
  height: number;
  /** Pixels of the canvas for one of the page. */
  ratio: number;
}

/** Something that draws on it. */
export interface Painter {
  /** Where its places are counted from, in Mercator units of the world: 32-bit floats are exact around it only. */
  readonly anchor: readonly [number, number];
  /** Make what it needs in this context: at the beginning, and again after the context was lost. */
  begin(gl: WebGL2RenderingContext): void;
  draw(gl: WebGL2RenderingContext, sight: Sight): void;
  /** Take on these colours. */
  paint(p: Palette): void;
}

export function program(gl: WebGL2RenderingContext, vertex: string, fragment: string): WebGLProgram {
  const made = gl.createProgram();
  for (const [kind, text] of [
    [gl.VERTEX_SHADER, vertex],
    [gl.FRAGMENT_SHADER, fragment],
  ] as const) {
    const shader = gl.createShader(kind)!;
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(made, shader);
    gl.deleteShader(shader);
  }
  gl.linkProgram(made);
  if (!gl.getProgramParameter(made, gl.LINK_STATUS) && !gl.isContextLost()) throw new Error(gl.getProgramInfoLog(made) ?? 'shader');
  return made;
}

export class Overlay {
  #map: LibreMap;
  #canvas = document.createElement('canvas');
  #gl: WebGL2RenderingContext | null = null;
  #painters: Painter[] = [];
  #frame = 0;
  #matrix: Float64Array | null = null;
  #sight: Sight = { matrix: new Float32Array(16), zoom: 0, width: 0, height: 0, ratio: 1 };

  constructor(map: LibreMap) {
    this.#map = map;
    Object.assign(this.#canvas.style, { position: 'absolute', inset: '0', width: '100%', height: '100%', pointerEvents: 'none', zIndex: '0' });
    this.#canvas.setAttribute('aria-hidden', 'true');
    this.#canvas.addEventListener('webglcontextlost', (event) => event.preventDefault());
    this.#canvas.addEventListener('webglcontextrestored', () => {
      if (!this.#gl) return;
      for (const painter of this.#painters) painter.begin(this.#gl);
      this.changed();
    });
    // Behind the map's buttons, which stand above; over its canvas. Not in it: that element is the map's.
    map.getContainer().after(this.#canvas);
    map.addLayer(this.#follower());
  }

  #follower(): CustomLayerInterface {
    return {
      id: 'overlay',
      type: 'custom',
      render: (_gl, input: CustomRenderMethodInput) => {
        this.#matrix = Float64Array.from(input.defaultProjectionData.mainMatrix as unknown as ArrayLike<number>);
        this.#draw();
      },
    };
  }

  /** Have it draw on the canvas, over the others, or `under` them. */
  add(painter: Painter, under = false): void {
    if (under) this.#painters.unshift(painter);
    else this.#painters.push(painter);
    if (this.#gl) painter.begin(this.#gl);
    this.changed();
  }

  paint(p: Palette): void {
    for (const painter of this.#painters) painter.paint(p);
    this.changed();
  }

  /** Something is to be drawn otherwise: at the next frame. */
  changed(): void {
    if (!this.#frame) this.#frame = requestAnimationFrame(() => this.#draw());
  }

  remove(): void {
    cancelAnimationFrame(this.#frame);
    this.#frame = -1; // no more of them
    this.#matrix = null;
    this.#painters = [];
    this.#gl?.getExtension('WEBGL_lose_context')?.loseContext();
    this.#canvas.remove();
  }

  #draw(): void {
    const matrix = this.#matrix;
    if (this.#frame > 0) {
      cancelAnimationFrame(this.#frame);
      this.#frame = 0;
    }
    if (!matrix) return; // the map has not been drawn: it will be, and then this is
    const gl = this.#context();
    if (!gl || gl.isContextLost()) return;
    this.#measure(gl);
    gl.viewport(0, 0, this.#sight.width, this.#sight.height);
    gl.clear(gl.COLOR_BUFFER_BIT);
    for (const painter of this.#painters) {
      this.#locate(matrix, painter.anchor);
      painter.draw(gl, this.#sight);
    }
  }

  #context(): WebGL2RenderingContext | null {
    if (this.#gl) return this.#gl;
    const gl = this.#canvas.getContext('webgl2', { alpha: true, antialias: false, depth: false, stencil: false });
    if (!gl) return null;
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.clearColor(0, 0, 0, 0);
    for (const painter of this.#painters) painter.begin(gl);
    return (this.#gl = gl);
  }

  #measure(gl: WebGL2RenderingContext): void {
    const { width, height } = this.#map.getCanvas();
    if (this.#canvas.width !== width || this.#canvas.height !== height) [this.#canvas.width, this.#canvas.height] = [width, height];
    this.#sight.width = gl.drawingBufferWidth;
    this.#sight.height = gl.drawingBufferHeight;
    this.#sight.zoom = this.#map.getZoom();
    this.#sight.ratio = this.#map.getPixelRatio();
  }

  /** The map's matrix from places around the anchor: computed in 64 bits, so that 32 are enough for the rest. */
  #locate(from: Float64Array, [x, y]: readonly [number, number]): void {
    const { matrix } = this.#sight;
    for (let row = 0; row < 4; row += 1) {
      for (let column = 0; column < 3; column += 1) matrix[column * 4 + row] = from[column * 4 + row]!;
      matrix[12 + row] = from[row]! * x + from[4 + row]! * y + from[12 + row]!;
    }
  }
}
