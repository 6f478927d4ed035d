import { expect, test } from 'vitest';

import { patternOf, ruleOf, toOf, toText } from './model';

test('plain rules are shown as hours and days and written back the same', () => {
  for (const rule of ['FREQ=DAILY;BYHOUR=7,19', 'FREQ=WEEKLY;BYDAY=MO,FR;BYHOUR=7', 'FREQ=MONTHLY;BYMONTHDAY=1;BYHOUR=6'])
    expect(ruleOf(patternOf(rule))).toBe(rule);
  expect(patternOf('FREQ=DAILY;BYHOUR=7,19')).toMatchObject({ kind: 'daily', hours: '7, 19' });
  expect(patternOf('FREQ=DAILY;INTERVAL=2;BYHOUR=7').kind).toBe('rule');
});

test('recipients of a chain keep their words', () => {
  for (const to of ['duty:$unit', 'duty:82/shift_lead', 'role:$commune/leader', 'person:$owner', 'email:phong@example.org'])
    expect(toText(toOf(to))).toBe(to);
  expect(toText(toOf('duty:/operator'))).toBe('duty:82/operator');
});
