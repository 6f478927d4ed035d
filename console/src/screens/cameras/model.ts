/** What the cameras' endpoints answer, which the API's document does not spell out. */
import { api } from '$lib/api/client';
import { t } from '$lib/i18n.svelte';

export interface Refusal {
  code: string;
  message: string;
  where?: string | null;
  hint?: string | null;
}

export interface State {
  state: 'connecting' | 'live' | 'lost' | 'ended' | 'stopped';
  since: number;
  error: Refusal | null;
  last: number;
  codec: string;
  width: number;
  height: number;
  rate: number;
  mime: string;
  packets: number;
  pictures: number;
  dropped: number;
  bad: number;
  jumps: number;
  reconnects: number;
  hardware: string;
  analysed: boolean;
  problem: string;
  conditions: string[];
}

export interface Camera {
  name: string;
  title: string;
  domain: string;
  lon: number | null;
  lat: number | null;
  commune: string;
  enabled: boolean;
  transport: 'tcp' | 'udp';
  loop: boolean;
  fps: number;
  onvif: string;
  before_s: number;
  after_s: number;
  keep_days: number;
  disk_mib: number;
  plates: boolean;
  version: number;
  drawn: { lines: number; zones: number; ground: number };
  may_write: boolean;
  address: string;
  credentials: boolean;
  state: State | null;
}

export type Point = [number, number];

export interface Line {
  name: string;
  start: Point;
  end: Point;
  classes: string[];
  names: Record<string, string>;
  capacity_pcu_h: number;
}

export interface Zone {
  name: string;
  points: Point[];
  uses: string[];
  classes: string[];
  hours: string[];
  heading: Point | null;
  limit: number;
}

export interface Ground {
  points: Point[];
  distances: { between: Point; metres: number }[];
}

export interface SceneDocument {
  lines: Line[];
  zones: Zone[];
  ground: Ground | null;
}

export interface WholeCamera extends Camera {
  scene: Partial<SceneDocument>;
  samples: number;
}

export interface Clip {
  id: number;
  camera: string;
  begins: number;
  ends: number;
  event: number;
  condition: string;
  alarm_id: number | null;
  incident_id: number | null;
  sha256: string;
  size: number;
  encoded: boolean;
}

export interface Trial {
  counts: { line: string; direction: string; class: string; count: number }[];
  trips: { origin: string; destination: string; count: number }[];
  speeds: Record<string, number>;
  events: { kind: string; zone: string; time: number; class: string }[];
  pictures: number;
  seconds: number;
  files: number;
  of: number;
  took_s: number;
}

export type Tested = ({ ok: true; codec: string; width: number; height: number; rate: number; playable: boolean; seconds: number; clock_s: number | null; jpeg: string }) | { ok: false; error: Refusal };

export const CLASSES = ['motorcycle', 'bicycle', 'car', 'bus', 'truck', 'person'] as const;
export const USES = ['carriageway', 'queue', 'trip', 'forbidden', 'crowd', 'ignore'] as const;

export const readCameras = () => api.get('/api/v1/cameras') as unknown as Promise<{ items: Camera[]; may_add: boolean }>;
export const readCamera = (name: string) => api.get('/api/v1/cameras/{name}', { path: { name } }) as unknown as Promise<WholeCamera>;
export const readClips = (camera: string, before?: number) => api.get('/api/v1/cameras/clips', { query: { camera, before, limit: 24 } }) as unknown as Promise<{ items: Clip[]; next: number | null }>;

export const pathOf = (name: string) => `/cameras/${encodeURIComponent(name)}`;
export const titleOf = (camera: Pick<Camera, 'name' | 'title'>) => camera.title || camera.name;
export const snapshotOf = (name: string, width: number, at: number) => `/api/v1/cameras/${encodeURIComponent(name)}/snapshot?width=${width}&at=${at}`;

/** Whether there is a picture to be had now. */
export const hasPicture = (camera: Pick<Camera, 'state'>) => camera.state !== null && camera.state.last > 0;

/** One word for how a camera fares, and how bad that is. */
export function fares(camera: Camera): { text: string; look: '' | 'good' | 'warn' | 'bad' } {
  if (!camera.enabled) return { text: t('cameras:state.off'), look: '' };
  const state = camera.state;
  if (state === null) return { text: t('cameras:state.unread'), look: 'warn' };
  const first = state.conditions[0];
  if (first) return { text: t(`condition.camera.${first}`), look: 'bad' };
  return { text: t(`cameras:state.${state.state}`), look: state.state === 'live' ? 'good' : state.state === 'ended' || state.state === 'stopped' ? '' : 'warn' };
}

/** A scene with everything a document may leave out. */
export function whole(scene: Partial<SceneDocument> | undefined): SceneDocument {
  const { lines = [], zones = [], ground = null } = structuredClone(scene ?? {});
  return {
    lines: lines.map((line) => ({ ...line, classes: line.classes ?? [], names: line.names ?? {}, capacity_pcu_h: line.capacity_pcu_h ?? 0 })),
    zones: zones.map((zone) => ({ ...zone, uses: zone.uses ?? ['carriageway'], classes: zone.classes ?? [], hours: zone.hours ?? [], heading: zone.heading ?? null, limit: zone.limit ?? 0 })),
    ground,
  };
}

/** A name that no other has yet. */
export function freeName(taken: readonly { name: string }[], stem: string): string {
  for (let number = taken.length + 1; ; number += 1) if (!taken.some((one) => one.name === `${stem}-${number}`)) return `${stem}-${number}`;
}

/** The six distances between four points, the four sides first. */
export const PAIRS: readonly Point[] = [[0, 1], [1, 2], [2, 3], [0, 3], [0, 2], [1, 3]];
