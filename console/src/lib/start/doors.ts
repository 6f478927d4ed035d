/** What `GET /api/v1/system` says of the doors, and what of it the console needs. */
import { api } from '$lib/api/client';

export interface Doors {
  public_url: string | null;
  host: string;
  mqtt: string | null;
  ais_tcp: string | null;
  ais_udp: string | null;
  ais_connect: string[];
  ais_allow: string[];
  admit: string[];
  max_body_mib: number;
  future_s: number;
  earliest: string;
  unknown_names: number;
}

/** The address by which devices reach HTTP: as set, else as this page was reached. */
export const base = (doors: Doors | undefined): string => (doors?.public_url ?? location.origin).replace(/\/$/, '');

/** host:port of the MQTT door, as seen from where this page is: a door that listens everywhere has the page's host. */
export function mqttAt(doors: Doors | undefined): string | null {
  if (!doors?.mqtt) return null;
  const port = doors.mqtt.slice(doors.mqtt.lastIndexOf(':') + 1);
  return doors.host === '0.0.0.0' || doors.host === '::' ? `${location.hostname}:${port}` : doors.mqtt;
}

export const readDoors = async (): Promise<Doors> => ((await api.get('/api/v1/system')) as unknown as { doors: Doors }).doors;
