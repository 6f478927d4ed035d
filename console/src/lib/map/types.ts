/** What the map is given and gives. */
import type { FeatureCollection } from 'geojson';

/** Features of the page that embeds a map: evidence tracks, areas, points. */
export interface FeatureLayer {
  id: string;
  /** Shown in the legend. */
  title: string;
  data: FeatureCollection;
  /** A CSS colour; the accent where it is not given. */
  colour?: string;
}

export interface Place {
  lon: number;
  lat: number;
}
