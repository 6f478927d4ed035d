import { api, type Answer } from '$lib/api/client';

export type Corridor = Answer<'/api/v1/traffic/corridors'>['items'][number];
export type CorridorForecast = NonNullable<Corridor['forecast']>;

/** Whether it moves now and is expected to be congested half an hour from now. */
export const slowAhead = (made: CorridorForecast): boolean => made.limit !== null && made.now >= made.limit && made.value[made.minutes.indexOf(30)]! < made.limit;

export const readCorridors = () => api.get('/api/v1/traffic/corridors');
