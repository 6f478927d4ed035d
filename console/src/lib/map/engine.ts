/** The map itself: MapLibre with the console's style. Heavy, so it is only imported when a map is shown. */
import 'maplibre-gl/dist/maplibre-gl.css';

import type { FeatureCollection } from 'geojson';
import { AttributionControl, Map as LibreMap, NavigationControl, ScaleControl, addProtocol, setWorkerUrl, type GeoJSONSource, type LayerSpecification, type MapMouseEvent } from 'maplibre-gl';
import workerUrl from 'maplibre-gl/dist/maplibre-gl-worker.mjs?worker&url';

import { baseLayers, communeNames, style, type Basemap } from './base';
import { mercatorX, mercatorY, type Fleet } from './fleet';
import { MarkLayer } from './marklayer';
import { alarmPoints, incidentPoints, markLayers, moverNames, type AlarmMark, type IncidentRow } from './marks';
import { MoverLayer } from './moverlayer';
import { Overlay } from './overlay';
import { palette, type Palette } from './palette';
import type { FeatureLayer, Place } from './types';

setWorkerUrl(workerUrl);

/** Where the province lies: west, south, east, north. */
export const PROVINCE: [number, number, number, number] = [105.1, 10.1, 106.85, 11.0];
const MIDDLE: Place = { lon: 105.9, lat: 10.5 };
/** The whole country with its seas. */
export const COUNTRY: [number, number, number, number] = [101.5, 6.5, 118, 23.8];
const SOURCES = ['communes', 'commune-centres', 'islands', 'things', 'alarms', 'incidents', 'density', 'mover-names'];
const NEAR_PX = 6;
const MOVER_PX = 12;
const MOST_NAMES = 150;
const NAMES_FROM = 11.5;

export interface Hit {
  kind: 'thing' | 'alarm' | 'incident' | 'mover' | 'place';
  key: string;
}

export class Engine {
  readonly map: LibreMap;
  #basemap: Basemap;
  #loaded: Promise<void>;
  #extra = new Map<string, FeatureLayer>();
  #listeners: (() => void)[] = [];
  #layer: MoverLayer | null = null;
  #fleet: Fleet | null = null;
  #overlay: Overlay | null = null;
  /** Alarms, incidents, and the ring around what is chosen. */
  readonly marks: MarkLayer;

  private constructor(container: HTMLElement, basemap: Basemap, compact: boolean, words: Record<string, string>) {
    this.#basemap = basemap;
    const p = palette();
    this.map = new LibreMap({
      container,
      style: style(this.#layers(p), basemap, SOURCES),
      bounds: PROVINCE,
      fitBoundsOptions: { padding: 12 },
      minZoom: 3,
      maxZoom: 18,
      maxPitch: 0,
      dragRotate: false,
      pitchWithRotate: false,
      rollEnabled: false,
      attributionControl: false,
      fadeDuration: 0,
      locale: words,
    });
    this.map.touchZoomRotate.disableRotation();
    this.map.keyboard.disableRotation();
    this.map.addControl(new NavigationControl({ showCompass: false }), 'top-right');
    if (!compact) this.map.addControl(new ScaleControl({ maxWidth: 120 }), 'bottom-right');
    if (basemap.attribution) this.map.addControl(new AttributionControl({ compact }), 'bottom-right');
    this.#loaded = new Promise((resolve) => this.map.once('load', () => resolve()));
    this.marks = new MarkLayer([mercatorX(MIDDLE.lon), mercatorY(MIDDLE.lat)], p);
  }

  /** A map in `container`; null where that left the page meanwhile. */
  static async make(container: HTMLElement, basemap: Basemap, compact: boolean, words: Record<string, string>): Promise<Engine | null> {
    if (basemap.kind === 'pmtiles') {
      const { Protocol } = await import('pmtiles');
      addProtocol('pmtiles', new Protocol().tile);
    }
    // Without the faces at hand the first names would be drawn with another.
    await Promise.allSettled([document.fonts.load('14px "Be Vietnam Pro"'), document.fonts.load('600 14px "Be Vietnam Pro"')]);
    if (!container.isConnected) return null;
    const engine = new Engine(container, basemap, compact, words);
    await engine.#loaded;
    for (const layer of engine.map.getStyle().layers) if ('source' in layer && typeof layer.source === 'string') engine.#begin(layer.id, layer.source);
    engine.#overlay = new Overlay(engine.map);
    engine.#overlay.add(engine.marks);
    return engine;
  }

  #layers(p: Palette): LayerSpecification[] {
    return [...baseLayers(p, this.#basemap), communeNames(p), moverNames(p), ...markLayers(p)];
  }

  /** Fill one of the sources. */
  fill(source: string, data: FeatureCollection): void {
    this.map.getSource<GeoJSONSource>(source)?.setData(data);
    const empty = !data.features.length;
    if (this.#empty.has(source) === empty) return;
    if (empty) this.#empty.add(source);
    else this.#empty.delete(source);
    for (const layer of this.map.getStyle().layers) if ('source' in layer && layer.source === source) this.#arrange(layer.id, source);
  }
  /** Sources with nothing in them. Their layers are off: each costs at every frame, whatever it shows. */
  #empty = new Set<string>(SOURCES);
  #off = new Set<string>();

  show(layers: readonly string[], shown: boolean): void {
    for (const id of layers) {
      if (shown) this.#off.delete(id);
      else this.#off.add(id);
      const layer = this.map.getLayer(id);
      if (layer) this.#arrange(id, layer.source);
    }
  }

  #begin(layer: string, source: string): void {
    if (this.map.getLayoutProperty(layer, 'visibility') === 'none') this.#off.add(layer);
    this.#arrange(layer, source);
  }

  #arrange(layer: string, source: string): void {
    const wanted = this.#off.has(layer) || this.#empty.has(source) ? 'none' : 'visible';
    if ((this.map.getLayoutProperty(layer, 'visibility') ?? 'visible') !== wanted) this.map.setLayoutProperty(layer, 'visibility', wanted);
  }

  /** Take on the colours of the theme in force. */
  paint(): void {
    const p = palette();
    for (const layer of this.#layers(p)) {
      if (!this.map.getLayer(layer.id)) continue;
      for (const [name, value] of Object.entries(layer.paint ?? {})) this.map.setPaintProperty(layer.id, name as never, value as never);
    }
    this.#overlay?.paint(p);
    for (const layer of this.#extra.values()) this.addFeatures(layer);
  }

  /** Show features of the page around, under the marks; again with the same id replaces them. */
  addFeatures(layer: FeatureLayer): void {
    const source = `extra-${layer.id}`;
    const colour = layer.colour ?? palette().accent;
    this.removeFeatures(layer.id);
    this.#extra.set(layer.id, layer);
    this.map.addSource(source, { type: 'geojson', data: layer.data });
    const add = (made: LayerSpecification) => this.map.addLayer(made, 'things');
    add({ id: `${source}-fill`, type: 'fill', source, filter: ['==', ['geometry-type'], 'Polygon'], paint: { 'fill-color': ['coalesce', ['get', 'colour'], colour], 'fill-opacity': 0.18 } });
    add({ id: `${source}-line`, type: 'line', source, filter: ['!=', ['geometry-type'], 'Point'], layout: { 'line-cap': 'round', 'line-join': 'round' }, paint: { 'line-color': colour, 'line-width': 2.5 } });
    add({ id: `${source}-point`, type: 'circle', source, filter: ['==', ['geometry-type'], 'Point'], paint: { 'circle-radius': 6, 'circle-color': ['coalesce', ['get', 'colour'], colour], 'circle-stroke-color': palette().halo, 'circle-stroke-width': 1 } });
  }

  removeFeatures(id: string): void {
    const source = `extra-${id}`;
    for (const part of ['fill', 'line', 'point']) if (this.map.getLayer(`${source}-${part}`)) this.map.removeLayer(`${source}-${part}`);
    if (this.map.getSource(source)) this.map.removeSource(source);
    this.#extra.delete(id);
  }

  /** Show movers, under alarms and incidents. */
  addMovers(fleet: Fleet): MoverLayer {
    const layer = new MoverLayer(fleet);
    layer.paint(palette());
    this.#layer = layer;
    this.#fleet = fleet;
    this.#overlay?.add(layer, true);
    return layer;
  }

  /** What lies on the canvas over the map is to be drawn otherwise. */
  changed(): void {
    this.#overlay?.changed();
  }

  /** The fleet has changed: draw it, and name those few that are near. */
  moved(): void {
    const fleet = this.#fleet;
    if (!fleet || !this.#layer) return;
    this.changed();
    const named = this.#layer.shown && this.map.getZoom() >= NAMES_FROM && fleet.count <= MOST_NAMES;
    if (!named && !this.#named) return;
    this.#named = named;
    const features = !named
      ? []
      : fleet.movers.flatMap((mover, at) =>
          mover ? [{ type: 'Feature' as const, properties: { title: mover.name || mover.key }, geometry: { type: 'Point' as const, coordinates: [fleet.lon[at]!, fleet.lat[at]!] } }] : [],
        );
    this.fill('mover-names', { type: 'FeatureCollection', features });
  }
  #named = false;

  /** Show these alarms, and no others. */
  putAlarms(marks: readonly AlarmMark[]): void {
    this.marks.putAlarms(marks);
    this.changed();
  }

  /** Where alarms are as points, for their heat map. */
  heat(marks: readonly AlarmMark[]): void {
    this.fill('alarms', alarmPoints(marks));
  }

  /** Show these incidents, and no others. */
  putIncidents(rows: readonly IncidentRow[]): void {
    this.marks.putIncidents(rows);
    this.fill('incidents', incidentPoints(rows));
    this.changed();
  }

  /** Where the movers are as points, for the heat map. */
  density(): void {
    const fleet = this.#fleet;
    if (!fleet) return;
    const coordinates: [number, number][] = [];
    for (let at = 0; at < fleet.size; at += 1) if (fleet.movers[at]) coordinates.push([fleet.lon[at]!, fleet.lat[at]!]);
    this.fill('density', { type: 'FeatureCollection', features: [{ type: 'Feature', properties: {}, geometry: { type: 'MultiPoint', coordinates } }] });
  }

  /** West, south, east, north of what is seen, with a margin, so that what comes in is there already. */
  view(): [number, number, number, number] {
    const bounds = this.map.getBounds();
    const dx = Math.min(20, (bounds.getEast() - bounds.getWest()) * 0.1);
    const dy = Math.min(20, (bounds.getNorth() - bounds.getSouth()) * 0.1);
    return [Math.max(-180, bounds.getWest() - dx), Math.max(-90, bounds.getSouth() - dy), Math.min(180, bounds.getEast() + dx), Math.min(90, bounds.getNorth() + dy)];
  }

  onView(take: () => void): void {
    this.map.on('move', take);
    this.#listeners.push(() => this.map.off('move', take));
  }

  /** Ring a place, or nothing; a commune is filled. */
  choose(at: Place | null, commune = ''): void {
    this.marks.choose(commune ? null : at);
    this.changed();
    this.map.setFilter('communes-chosen', ['==', ['get', 'code'], commune]);
  }

  /** Go there, unless it is in plain view already. */
  go(at: Place, zoom = 12): void {
    const seen = this.map.getBounds().contains([at.lon, at.lat]);
    if (seen && this.map.getZoom() >= zoom - 1.5) return;
    this.map.easeTo({ center: [at.lon, at.lat], zoom: Math.max(this.map.getZoom(), zoom), duration: this.calm ? 0 : 700 });
  }

  fit(bounds: [number, number, number, number]): void {
    this.map.fitBounds(bounds, { padding: 24, maxZoom: 15, duration: this.calm ? 0 : 700 });
  }

  get calm(): boolean {
    return matchMedia('(prefers-reduced-motion: reduce)').matches;
  }

  /** What lies under a point of the screen, the uppermost; communes last. */
  hit(event: MapMouseEvent): Hit | null {
    const { x, y } = event.point;
    const at = { lon: event.lngLat.lng, lat: event.lngLat.lat };
    const marked = this.marks.hit(at, 1 / (512 * 2 ** this.map.getZoom()));
    if (marked) return marked;
    const box: [[number, number], [number, number]] = [
      [x - NEAR_PX, y - NEAR_PX],
      [x + NEAR_PX, y + NEAR_PX],
    ];
    const thing = this.map.queryRenderedFeatures(box, { layers: ['things'] })[0];
    if (thing) return { kind: 'thing', key: String(thing.properties['key']) };
    if (this.#fleet && this.#layer?.shown) {
      const wide = (this.map.getBounds().getEast() - this.map.getBounds().getWest()) / this.map.getCanvas().clientWidth;
      const mover = this.#fleet.movers[this.#fleet.nearest(at.lon, at.lat, MOVER_PX * wide)];
      if (mover) return { kind: 'mover', key: mover.key };
    }
    const commune = this.map.queryRenderedFeatures(event.point, { layers: ['communes-fill'] })[0];
    return commune ? { kind: 'place', key: String(commune.properties['code']) } : null;
  }

  /** Call on a click, or a tap; gives where and what. */
  onClick(take: (hit: Hit | null, event: MapMouseEvent) => void): void {
    const listener = (event: MapMouseEvent) => take(this.hit(event), event);
    this.map.on('click', listener);
    this.#listeners.push(() => this.map.off('click', listener));
  }

  destroy(): void {
    for (const stop of this.#listeners) stop();
    this.#overlay?.remove();
    this.map.remove();
  }
}
