/**
 * The two archipelagos of Việt Nam in the East Sea, shown on every map of the centre by names of its own. A basemap's
 * own names there are never shown: see base.ts.
 */
import type { FeatureCollection, Point, Polygon } from 'geojson';

/** Where the label stands, and some of the islands, lon and lat in degrees, to about a kilometre. */
const ARCHIPELAGOS = [
  {
    key: 'hoang_sa',
    label: [112.0, 16.35],
    islands: [
      [111.607, 16.533],
      [112.339, 16.834],
      [112.731, 16.667],
      [111.201, 15.783],
      [111.707, 16.452],
      [111.513, 16.505],
    ],
    frame: [110.9, 15.5, 113.3, 17.3],
  },
  {
    key: 'truong_sa',
    label: [113.4, 9.4],
    islands: [
      [111.92, 8.644],
      [114.331, 11.428],
      [114.366, 10.18],
      [114.329, 9.886],
      [113.704, 8.968],
      [112.92, 7.891],
      [114.477, 10.376],
      [114.372, 11.452],
    ],
    frame: [111.3, 6.8, 117.6, 12.2],
  },
] as const;

/** Labels, in the language spoken, and islands. `words` reads a message `map:hoang_sa`, `map:truong_sa`. */
export function islands(words: (key: string) => string): FeatureCollection<Point> {
  return {
    type: 'FeatureCollection',
    features: ARCHIPELAGOS.flatMap(({ key, label, islands: points }) => [
      { type: 'Feature' as const, properties: { title: words(`map:${key}`) }, geometry: { type: 'Point' as const, coordinates: [...label] } },
      ...points.map((at) => ({ type: 'Feature' as const, properties: {}, geometry: { type: 'Point' as const, coordinates: [...at] } })),
    ]),
  };
}

/** The waters around them, laid over a basemap of pictures, whose names there cannot be left out. */
export const covers: FeatureCollection<Polygon> = {
  type: 'FeatureCollection',
  features: ARCHIPELAGOS.map(({ frame: [west, south, east, north] }) => ({
    type: 'Feature',
    properties: {},
    geometry: {
      type: 'Polygon',
      coordinates: [
        [
          [west, south],
          [east, south],
          [east, north],
          [west, north],
          [west, south],
        ],
      ],
    },
  })),
};
