import { expect, test } from 'vitest';

import { leads } from './cells';

test('each kind of record has its page', () => {
  expect(leads({ kind: 'incident', name: 'incident' }, { incident: 12 })?.href).toBe('/incidents/12');
  expect(leads({ kind: 'thing', name: 'source' }, { source: 'tan-chau/water_level' })?.href).toBe('/things/tan-chau');
  expect(leads({ kind: 'thing', name: 'source' }, { source: 'mmsi-574001234' })?.href).toBe('/movers/mmsi-574001234');
  expect(leads({ kind: 'alarm', name: 'alarm' }, { alarm: 7 })).toEqual({ href: '/', select: 'alarm', id: '7' });
});

test('what names no record leads nowhere', () => {
  expect(leads({ kind: 'text', name: 'title' }, { title: 'Ngập' })).toBeNull();
  expect(leads({ kind: 'incident', name: 'incident' }, { incident: null })).toBeNull();
});
