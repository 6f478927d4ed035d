/** Drawn outlines as a layer of the map. */
import type { FeatureLayer } from '$lib/map/types';

export const outlines = (polygons: readonly number[][][], title: string): FeatureLayer => ({
  id: 'outlines',
  title,
  data: { type: 'FeatureCollection', features: polygons.map((ring) => ({ type: 'Feature', properties: {}, geometry: { type: 'Polygon', coordinates: [ring] } })) },
});
