/** What lies under everything: the sea, a basemap where one is configured, communes, waters, the archipelagos. */
import type { LayerSpecification, SourceSpecification, StyleSpecification } from 'maplibre-gl';

import { covers } from './islands';
import type { Palette } from './palette';

/** As `/api/v1/map` says it. */
export interface Basemap {
  kind: 'none' | 'raster' | 'pmtiles';
  url: string;
  attribution: string;
  max_zoom: number;
}

/** Drawn by the browser from the console's own face: there are no glyph files. */
export const FACE = ['Be Vietnam Pro', 'sans-serif'];
export const FACE_BOLD = ['Be Vietnam Pro SemiBold', 'Be Vietnam Pro', 'sans-serif'];
export const NOTHING = { type: 'FeatureCollection' as const, features: [] };
const geojson = (): SourceSpecification => ({ type: 'geojson', data: NOTHING });

/** Layers of vector tiles as Protomaps and OpenMapTiles name them. No names and no boundaries of theirs are drawn. */
function vector(p: Palette): LayerSpecification[] {
  const fill = (id: string, layer: string, colour: string): LayerSpecification => ({
    id: `base-${id}`,
    type: 'fill',
    source: 'basemap',
    'source-layer': layer,
    filter: ['==', ['geometry-type'], 'Polygon'],
    paint: { 'fill-color': colour },
  });
  const line = (id: string, layer: string, colour: string, width: number, minzoom: number): LayerSpecification => ({
    id: `base-${id}`,
    type: 'line',
    source: 'basemap',
    'source-layer': layer,
    minzoom,
    filter: ['==', ['geometry-type'], 'LineString'],
    paint: { 'line-color': colour, 'line-width': ['interpolate', ['linear'], ['zoom'], minzoom, 0.4, 16, width] },
  });
  const built = p.dark ? '#222c36' : '#e4e2dc';
  return [
    fill('earth', 'earth', p.land),
    fill('water', 'water', p.dark ? '#12334a' : '#c4dff0'),
    line('rivers', 'water', p.water, 2, 8),
    line('waterway', 'waterway', p.water, 2, 8),
    line('roads', 'roads', p.dark ? '#33404c' : '#cfcac0', 4, 7),
    line('transportation', 'transportation', p.dark ? '#33404c' : '#cfcac0', 4, 7),
    fill('buildings', 'buildings', built),
    fill('building', 'building', built),
  ];
}

export function baseLayers(p: Palette, basemap: Basemap): LayerSpecification[] {
  const under: LayerSpecification[] = [{ id: 'sea', type: 'background', paint: { 'background-color': p.sea } }];
  if (basemap.kind === 'raster') {
    under.push(
      { id: 'base-pictures', type: 'raster', source: 'basemap', paint: { 'raster-opacity': p.dark ? 0.7 : 1, 'raster-saturation': p.dark ? -0.6 : 0 } },
      { id: 'base-covers', type: 'fill', source: 'covers', paint: { 'fill-color': p.sea } },
    );
  }
  if (basemap.kind === 'pmtiles') under.push(...vector(p));
  const plain = basemap.kind === 'none';
  return [
    ...under,
    { id: 'communes-fill', type: 'fill', source: 'communes', filter: ['==', ['geometry-type'], 'Polygon'], paint: { 'fill-color': p.land, 'fill-opacity': plain ? 1 : 0.1 } },
    { id: 'communes-chosen', type: 'fill', source: 'communes', filter: ['==', ['get', 'code'], ''], paint: { 'fill-color': p.accent, 'fill-opacity': 0.25 } },
    { id: 'communes-line', type: 'line', source: 'communes', filter: ['==', ['geometry-type'], 'Polygon'], paint: { 'line-color': p.line, 'line-width': ['interpolate', ['linear'], ['zoom'], 8, 0.5, 13, 1.6] } },
    { id: 'communes-dot', type: 'circle', source: 'communes', filter: ['==', ['geometry-type'], 'Point'], paint: { 'circle-radius': 2, 'circle-color': p.muted } },
    { id: 'islands-dot', type: 'circle', source: 'islands', filter: ['!', ['has', 'title']], paint: { 'circle-radius': ['interpolate', ['linear'], ['zoom'], 4, 1.4, 9, 4], 'circle-color': p.text } },
    {
      id: 'islands-name', type: 'symbol', source: 'islands', filter: ['has', 'title'],
      layout: { 'text-field': ['get', 'title'], 'text-font': FACE_BOLD, 'text-size': 13, 'text-max-width': 9, 'text-allow-overlap': true, 'text-ignore-placement': true },
      paint: { 'text-color': p.text, 'text-halo-color': p.halo, 'text-halo-width': 1.5 },
    },
  ];
}

export const communeNames = (p: Palette): LayerSpecification => ({
  id: 'communes-name', type: 'symbol', source: 'commune-centres', minzoom: 9.3,
  layout: { 'text-field': ['step', ['zoom'], ['get', 'name'], 11, ['get', 'title']], 'text-font': FACE, 'text-size': ['interpolate', ['linear'], ['zoom'], 9, 11, 13, 14], 'text-max-width': 7, 'text-padding': 6 },
  paint: { 'text-color': p.muted, 'text-halo-color': p.halo, 'text-halo-width': 1.2 },
});

/** The whole style, with sources that are filled later. */
export function style(layers: LayerSpecification[], basemap: Basemap, sources: string[]): StyleSpecification {
  const found: Record<string, SourceSpecification> = { covers: { type: 'geojson', data: covers } };
  for (const id of sources) found[id] = geojson();
  if (basemap.kind === 'raster') {
    found['basemap'] = { type: 'raster', tiles: [basemap.url], tileSize: 256, maxzoom: basemap.max_zoom, attribution: basemap.attribution };
  } else if (basemap.kind === 'pmtiles') {
    found['basemap'] = { type: 'vector', url: `pmtiles://${new URL(basemap.url, location.href).href}`, attribution: basemap.attribution };
  }
  return { version: 8, sources: found, layers };
}
