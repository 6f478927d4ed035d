/** What forms choose from: read from the centre, and kept for when there is no line. */
import { keep, recall } from '$lib/outbox/db';
import { outbox } from '$lib/outbox/outbox.svelte';

import { get, type Catalogue } from './model';

const NAME = 'rice:catalogue';

/** As the centre has it; where it cannot be reached, as it was read last. Throws ApiError where neither is. */
export async function readCatalogue(): Promise<Catalogue> {
  const who = outbox.who;
  try {
    const found = await get<Catalogue>('/catalogue');
    await keep(who, NAME, found);
    return found;
  } catch (error) {
    const kept = await recall<Catalogue>(who, NAME);
    if (kept) return kept.data;
    throw error;
  }
}
