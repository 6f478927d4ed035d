/** Drawing on the map: a line to measure, or a polygon. Terra Draw is loaded when somebody draws. */
import type { LineString, Polygon } from 'geojson';
import type { Map as LibreMap } from 'maplibre-gl';
import { TerraDraw, TerraDrawLineStringMode, TerraDrawPolygonMode, TerraDrawSelectMode, ValidateNotSelfIntersecting, type HexColor } from 'terra-draw';
import { TerraDrawMapLibreGLAdapter } from 'terra-draw-maplibre-gl-adapter';

export type Drawn = LineString | Polygon;

export class Sketch {
  #draw: TerraDraw;
  #kind: 'linestring' | 'polygon';

  /** `changed` is given what is drawn so far, null for nothing, and whether it is finished. */
  constructor(map: LibreMap, kind: 'linestring' | 'polygon', colour: string, changed: (drawn: Drawn | null, finished: boolean) => void) {
    const hex = colour as HexColor;
    this.#kind = kind;
    this.#draw = new TerraDraw({
      adapter: new TerraDrawMapLibreGLAdapter({ map }),
      modes: [
        new TerraDrawLineStringMode({ styles: { lineStringColor: hex, lineStringWidth: 3, closingPointColor: hex } }),
        new TerraDrawPolygonMode({
          validation: (feature, { updateType }) => (updateType === 'finish' || updateType === 'commit' ? ValidateNotSelfIntersecting(feature) : { valid: true }),
          styles: { fillColor: hex, fillOpacity: 0.2, outlineColor: hex, outlineWidth: 3, closingPointColor: hex },
        }),
        new TerraDrawSelectMode({
          flags: { polygon: { feature: { coordinates: { midpoints: true, draggable: true, deletable: true } } } },
          styles: { selectedPolygonColor: hex, selectedPolygonFillOpacity: 0.2, selectedPolygonOutlineColor: hex, selectionPointColor: hex, midPointColor: hex },
        }),
      ],
    });
    const tell = (finished: boolean) => changed(this.#now(), finished);
    this.#draw.start();
    this.#draw.setMode(kind);
    this.#draw.on('change', () => tell(false));
    this.#draw.on('finish', (id) => {
      tell(true);
      // One at a time; a polygon's corners can be moved afterwards.
      if (kind === 'polygon' && this.#draw.getMode() === 'polygon') {
        this.#draw.setMode('select');
        this.#draw.selectFeature(id);
      }
    });
  }

  /** Show a polygon made elsewhere, to be changed. */
  put(polygon: Polygon): void {
    const [made] = this.#draw.addFeatures([{ type: 'Feature', properties: { mode: 'polygon' }, geometry: polygon }]);
    if (!made?.valid || made.id === undefined) return;
    this.#draw.setMode('select');
    this.#draw.selectFeature(made.id);
  }

  #now(): Drawn | null {
    const wanted = this.#kind === 'polygon' ? 'Polygon' : 'LineString';
    const found = this.#draw.getSnapshot().filter((one) => one.geometry.type === wanted);
    return (found.at(-1)?.geometry as Drawn | undefined) ?? null;
  }

  /** Begin again. */
  clear(): void {
    this.#draw.clear();
    this.#draw.setMode(this.#kind);
  }

  stop(): void {
    this.#draw.stop();
  }
}
