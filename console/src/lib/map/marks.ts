/** Things and heat as layers of the map, the pictures of alarms and incidents; and what they are made of. */
import type { Feature, FeatureCollection, Point } from 'geojson';
import type { ExpressionSpecification, LayerSpecification } from 'maplibre-gl';

import type { Alarm } from '../alarms.svelte';
import { FACE, FACE_BOLD } from './base';
import type { Palette } from './palette';

export interface ThingRow {
  name: string;
  title: string;
  kind: string;
  domain: string;
  lon: number | null;
  lat: number | null;
}
export interface AlarmMark {
  id: number;
  severity: number;
  /** Whether it waits for somebody. */
  calling: boolean;
  lon: number;
  lat: number;
}
export interface IncidentRow {
  id: number;
  title: string;
  severity: number;
  lon: number | null;
  lat: number | null;
}

export const moverNames = (p: Palette): LayerSpecification => ({
  id: 'movers-name', type: 'symbol', source: 'mover-names',
  layout: { 'text-field': ['get', 'title'], 'text-font': FACE, 'text-size': 11, 'text-offset': [0, 1.1], 'text-anchor': 'top', 'text-optional': true },
  paint: { 'text-color': p.muted, 'text-halo-color': p.halo, 'text-halo-width': 1.2 },
});

export function markLayers(p: Palette): LayerSpecification[] {
  const small: ExpressionSpecification = ['interpolate', ['linear'], ['zoom'], 7, 3, 12, 6];
  return [
    {
      id: 'heat', type: 'heatmap', source: 'alarms',
      layout: { visibility: 'none' },
      paint: {
        'heatmap-weight': ['/', ['get', 'severity'], 4],
        'heatmap-radius': ['interpolate', ['exponential', 2], ['zoom'], 7, 24, 13, 90],
        'heatmap-opacity': 0.75,
        'heatmap-color': ['interpolate', ['linear'], ['heatmap-density'], 0, 'rgba(0,0,0,0)', 0.2, p.severity[0], 0.5, p.severity[1], 0.75, p.severity[2], 1, p.severity[3]],
      },
    },
    {
      id: 'density', type: 'heatmap', source: 'density',
      layout: { visibility: 'none' },
      paint: {
        'heatmap-weight': 0.25,
        'heatmap-radius': ['interpolate', ['exponential', 2], ['zoom'], 7, 14, 13, 70],
        'heatmap-opacity': 0.7,
        'heatmap-color': ['interpolate', ['linear'], ['heatmap-density'], 0, 'rgba(0,0,0,0)', 0.2, p.water, 0.6, p.accent, 1, p.text],
      },
    },
    { id: 'things', type: 'circle', source: 'things', paint: { 'circle-radius': small, 'circle-color': p.thing, 'circle-stroke-color': p.halo, 'circle-stroke-width': 1.5 } },
    {
      id: 'things-name', type: 'symbol', source: 'things', minzoom: 10.5,
      layout: { 'text-field': ['get', 'title'], 'text-font': FACE, 'text-size': 11, 'text-offset': [0, 1], 'text-anchor': 'top', 'text-max-width': 9, 'text-optional': true },
      paint: { 'text-color': p.text, 'text-halo-color': p.halo, 'text-halo-width': 1.2 },
    },
    {
      id: 'incidents-name', type: 'symbol', source: 'incidents',
      layout: { 'text-field': ['concat', '#', ['to-string', ['get', 'id']]], 'text-font': FACE_BOLD, 'text-size': 11, 'text-anchor': 'bottom', 'text-offset': [0, -2.7] },
      paint: { 'text-color': p.text, 'text-halo-color': p.halo, 'text-halo-width': 1.5 },
    },
  ];
}

/** The shapes that Severity.svelte shows, in a box of 12. */
const SHAPES = ['M6 2a4 4 0 1 1 0 8 4 4 0 0 1 0-8z', 'M2 2h8v8H2z', 'M6 1l5 5-5 5-5-5z', 'M6 .8L11.6 11H.4z'];

function draw(width: number, height: number, paint: (pen: CanvasRenderingContext2D) => void): ImageData {
  const canvas = document.createElement('canvas');
  canvas.width = width;
  canvas.height = height;
  const pen = canvas.getContext('2d', { willReadFrequently: true })!;
  paint(pen);
  return pen.getImageData(0, 0, width, height);
}

/** A pin with an exclamation mark: an incident. */
const pin = (p: Palette, colour: string) =>
  draw(44, 56, (pen) => {
    pen.beginPath();
    pen.moveTo(22, 54);
    pen.bezierCurveTo(8, 36, 3, 29, 3, 21);
    pen.arc(22, 21, 19, Math.PI, 0);
    pen.bezierCurveTo(41, 29, 36, 36, 22, 54);
    pen.fillStyle = colour;
    pen.fill();
    pen.lineWidth = 3;
    pen.strokeStyle = p.halo;
    pen.stroke();
    pen.fillStyle = p.dark ? '#0b0f13' : '#ffffff';
    pen.fillRect(19, 9, 6, 15);
    pen.fillRect(19, 28, 6, 6);
  });

/** The shape of its severity: an alarm; in a ring while it calls for somebody. */
const sign = (p: Palette, colour: string, shape: string, calling: boolean) =>
  draw(56, 56, (pen) => {
    if (calling) {
      pen.beginPath();
      pen.arc(28, 28, 25, 0, 7);
      pen.fillStyle = `${colour}44`;
      pen.fill();
      pen.lineWidth = 3;
      pen.strokeStyle = colour;
      pen.stroke();
    }
    pen.translate(10, 10);
    pen.scale(3, 3);
    const path = new Path2D(shape);
    pen.lineWidth = 1;
    pen.strokeStyle = p.halo;
    pen.fillStyle = colour;
    pen.stroke(path);
    pen.fill(path);
  });

/** Around what is chosen. */
const ring = (p: Palette) =>
  draw(80, 80, (pen) => {
    pen.beginPath();
    pen.arc(40, 40, 33, 0, 7);
    pen.lineWidth = 6;
    pen.strokeStyle = p.accent;
    pen.stroke();
  });

/** All pictures by name, two of their pixels for one of the page. */
export function images(p: Palette): Record<string, ImageData> {
  const made: Record<string, ImageData> = { chosen: ring(p) };
  for (const [index, colour] of p.severity.entries()) {
    made[`incident-${index + 1}`] = pin(p, colour);
    made[`alarm-${index + 1}`] = sign(p, colour, SHAPES[index]!, false);
    made[`alarm-${index + 1}-calling`] = sign(p, colour, SHAPES[index]!, true);
  }
  return made;
}

type Points = FeatureCollection<Point>;
const points = (features: (Feature<Point> | null)[]): Points => ({ type: 'FeatureCollection', features: features.filter((one) => one !== null) });
const point = (lon: number | null | undefined, lat: number | null | undefined, properties: Record<string, unknown>): Feature<Point> | null =>
  lon === null || lon === undefined || lat === null || lat === undefined ? null : { type: 'Feature', properties, geometry: { type: 'Point', coordinates: [lon, lat] } };

export const thingPoints = (things: readonly ThingRow[]): Points =>
  points(things.map(({ name, title, kind, domain, lon, lat }) => point(lon, lat, { key: name, title: title || name, kind, domain })));

/** Where each was raised, else where its thing stands. */
export function alarmMarks(open: readonly Alarm[], things: ReadonlyMap<string, ThingRow>): AlarmMark[] {
  const made: AlarmMark[] = [];
  for (const { id, source, severity, state, lon, lat } of open) {
    const at = lon === null || lat === null ? things.get(source.split('/')[0] ?? '') : { lon, lat };
    if (at && at.lon !== null && at.lat !== null) made.push({ id, severity, calling: state !== 'acknowledged', lon: at.lon, lat: at.lat });
  }
  return made;
}

export const alarmPoints = (marks: readonly AlarmMark[]): Points => points(marks.map(({ id, severity, lon, lat }) => point(lon, lat, { key: String(id), severity })));

export const incidentPoints = (rows: readonly IncidentRow[]): Points =>
  points(rows.map(({ id, title, severity, lon, lat }) => point(lon, lat, { key: String(id), id, title, severity })));
