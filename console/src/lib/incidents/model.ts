/** What the console knows of incidents: their states, what may be done in each, who and where in words. */
import type { Answer } from '../api/client';

export type Incident = Answer<'/api/v1/incidents'>['items'][number];
export type WholeIncident = Answer<'/api/v1/incidents/{number}'>;
export type IncidentEvent = WholeIncident['events'][number];
export type IncidentLink = WholeIncident['links'][number];
export type Attachment = WholeIncident['attachments'][number];
export type Task = Answer<'/api/v1/tasks'>['items'][number];

/** What the stream says of a change. */
export interface IncidentTold {
  id: number;
  version: number;
  action: string;
  state: string;
  severity: number;
  domain: string;
  unit: string;
  commune: string;
  owner: string;
  title: string;
  event: number;
}

export const STATES = ['open', 'acknowledged', 'in_progress', 'waiting', 'resolved', 'closed', 'rejected', 'merged'] as const;
/** States in which work is to be done. */
export const LIVE: readonly string[] = ['open', 'acknowledged', 'in_progress', 'waiting'];
export const isLive = (state: string): boolean => LIVE.includes(state);

export type Move = 'acknowledge' | 'start' | 'wait' | 'resume' | 'resolve' | 'close' | 'reopen' | 'reject';
interface MoveRule {
  act: Move;
  /** States it is possible in (thap.respond.incidents.states). */
  from: readonly string[];
  need: 'incident.work' | 'incident.close';
  /** Whether a reason must be given. */
  reason: boolean;
}

/** What moves an incident on, the usual next step first. */
export const MOVES: readonly MoveRule[] = [
  { act: 'acknowledge', from: ['open'], need: 'incident.work', reason: false },
  { act: 'start', from: ['open', 'acknowledged'], need: 'incident.work', reason: false },
  { act: 'resume', from: ['waiting'], need: 'incident.work', reason: false },
  { act: 'wait', from: ['acknowledged', 'in_progress'], need: 'incident.work', reason: true },
  { act: 'resolve', from: LIVE, need: 'incident.work', reason: false },
  { act: 'close', from: ['resolved'], need: 'incident.close', reason: false },
  { act: 'reject', from: ['open', 'acknowledged'], need: 'incident.close', reason: true },
  { act: 'reopen', from: ['resolved', 'closed', 'rejected'], need: 'incident.close', reason: true },
];

export const movesOf = (state: string, may: (action: string) => boolean): readonly MoveRule[] =>
  MOVES.filter((move) => move.from.includes(state) && may(move.need));

/** The act on an incident in this state that doing a step is at the same time, if any (thap.respond.procedures.book). */
export function moveBy(task: Pick<Task, 'done_when'>, state: string): Move | undefined {
  if (task.done_when === 'acknowledged') return state === 'open' ? 'acknowledge' : undefined;
  if (task.done_when === 'in_progress') return state === 'open' || state === 'acknowledged' ? 'start' : undefined;
  return task.done_when === 'resolved' && isLive(state) ? 'resolve' : undefined;
}
