/** Filters of a screen in its address, so that they can be shared and survive a reload. */
import { searchParams } from 'sv-router';

/** The value of a filter, '' where it is not set; reactive. */
export const param = (name: string): string => String(searchParams.get(name) ?? '');

/** Set a filter, or take it out of the address where the value is empty. */
export function setParam(name: string, value: string): void {
  if (value) searchParams.set(name, value, { replace: true } as never);
  else searchParams.delete(name, undefined, { replace: true } as never);
}
