/** Photos as evidence: made small enough for a weak line, with the time the camera wrote. */
import { takenAt } from './exif';

const LONG_SIDE = 1920;
const QUALITY = 0.82;
const TAKEN_AS_IT_IS = 300_000; // bytes
const OURS = ['image/jpeg', 'image/png', 'image/webp'];

export interface Photo {
  bytes: ArrayBuffer;
  type: string;
  name: string;
  /** µs; null where neither camera nor file say. */
  taken: number | null;
  width: number;
  height: number;
}

/**
 * Read a photo and make it small. `whole`: leave it as it is.
 *
 * Throws where it is no picture that the browser can read.
 */
export async function readPhoto(file: File, whole: boolean): Promise<Photo> {
  const bytes = await file.arrayBuffer();
  const taken = takenAt(bytes) ?? (file.lastModified ? file.lastModified * 1000 : null);
  const picture = await createImageBitmap(new Blob([bytes], { type: file.type }), { imageOrientation: 'from-image' });
  const { width, height } = picture;
  const scale = Math.min(1, LONG_SIDE / Math.max(width, height));
  const stem = (file.name || 'photo').replace(/\.[^.]*$/, '').slice(0, 100) || 'photo';
  if ((whole || (scale === 1 && bytes.byteLength <= TAKEN_AS_IT_IS)) && OURS.includes(file.type)) {
    picture.close();
    return { bytes, type: file.type, name: file.name || `${stem}.jpg`, taken, width, height };
  }
  const [w, h] = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
  const canvas = new OffscreenCanvas(w, h);
  canvas.getContext('2d')?.drawImage(picture, 0, 0, w, h);
  picture.close();
  const small = await canvas.convertToBlob({ type: 'image/jpeg', quality: QUALITY });
  return { bytes: await small.arrayBuffer(), type: 'image/jpeg', name: `${stem}.jpg`, taken, width: w, height: h };
}

export interface Position {
  lon: number;
  lat: number;
  accuracy_m: number;
  /** µs. */
  time: number;
}

/** Where the device is now; asked for only when the person wants it. Throws a GeolocationPositionError. */
export const whereAmI = (): Promise<Position> =>
  new Promise((resolve, reject) =>
    navigator.geolocation.getCurrentPosition(
      ({ coords, timestamp }) =>
        resolve({ lon: round(coords.longitude, 6), lat: round(coords.latitude, 6), accuracy_m: Math.round(coords.accuracy), time: Math.round(timestamp) * 1000 }),
      reject,
      { enableHighAccuracy: true, timeout: 20_000, maximumAge: 10_000 },
    ),
  );

const round = (value: number, digits: number): number => Number(value.toFixed(digits));

/** The address to which a photo of an incident is sent; `incident` may stand for what an answer will say. */
export function photoPath(incident: number | string, photo: Photo, position: Position | null): string {
  const query = new URLSearchParams({ name: photo.name });
  if (photo.taken !== null) query.set('taken', String(photo.taken));
  if (position) for (const key of ['lon', 'lat', 'accuracy_m'] as const) query.set(key, String(position[key]));
  return `/api/v1/incidents/${incident}/attachments?${query}`;
}
