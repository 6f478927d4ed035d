/** Measures on the globe. Degrees WGS 84, metres. */
import type { FeatureCollection, Polygon, Position } from 'geojson';

type Box = [number, number, number, number];
const EARTH_M = 6_371_008.8;
const rad = (degrees: number) => (degrees * Math.PI) / 180;

/** The box around everything in these, null where there is nothing. */
export function extent(collections: readonly FeatureCollection[]): Box | null {
  const box: Box = [Infinity, Infinity, -Infinity, -Infinity];
  const take = (value: unknown): void => {
    if (!Array.isArray(value)) return;
    const [x, y] = value as [unknown, unknown];
    if (typeof x === 'number' && typeof y === 'number') {
      box[0] = Math.min(box[0], x);
      box[1] = Math.min(box[1], y);
      box[2] = Math.max(box[2], x);
      box[3] = Math.max(box[3], y);
    } else for (const part of value) take(part);
  };
  for (const collection of collections) {
    for (const { geometry } of collection.features) {
      if (geometry?.type === 'GeometryCollection') geometry.geometries.forEach((one) => 'coordinates' in one && take(one.coordinates));
      else if (geometry) take(geometry.coordinates);
    }
  }
  return box[0] <= box[2] ? box : null;
}

/** Metres between two points by the great circle. */
export function distance([lon1 = 0, lat1 = 0]: Position, [lon2 = 0, lat2 = 0]: Position): number {
  const half = (a: number, b: number) => Math.sin(rad(b - a) / 2) ** 2;
  const h = half(lat1, lat2) + Math.cos(rad(lat1)) * Math.cos(rad(lat2)) * half(lon1, lon2);
  return 2 * EARTH_M * Math.asin(Math.min(1, Math.sqrt(h)));
}

/** Metres along a line. */
export const length = (line: readonly Position[]): number => line.slice(1).reduce((sum, at, index) => sum + distance(line[index]!, at), 0);

/** Square metres of a polygon's outer ring, on the sphere. */
export function area(polygon: Polygon): number {
  const ring = polygon.coordinates[0] ?? [];
  let sum = 0;
  for (let index = 0; index + 1 < ring.length; index += 1) {
    const [lon1 = 0, lat1 = 0] = ring[index]!;
    const [lon2 = 0, lat2 = 0] = ring[index + 1]!;
    sum += rad(lon2 - lon1) * (2 + Math.sin(rad(lat1)) + Math.sin(rad(lat2)));
  }
  return Math.abs((sum * EARTH_M * EARTH_M) / 2);
}

/** Whether a point lies in a polygon, holes left out. */
export function inside(lon: number, lat: number, polygon: Polygon): boolean {
  let within = false;
  for (const ring of polygon.coordinates) {
    for (let index = 0, before = ring.length - 1; index < ring.length; before = index++) {
      const [x1 = 0, y1 = 0] = ring[index]!;
      const [x2 = 0, y2 = 0] = ring[before]!;
      if (y1 > lat !== y2 > lat && lon < ((x2 - x1) * (lat - y1)) / (y2 - y1) + x1) within = !within;
    }
  }
  return within;
}
