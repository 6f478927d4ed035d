import { expect, test } from 'vitest';

import { changes } from './model';

test('what moderation changed is told word by word, and gives both texts again', () => {
  const [before, after] = ['Gọi tôi 0912345678, rác đổ đầy đường', 'Gọi tôi […], rác đổ đầy đường'];
  const pieces = changes(before, after);
  expect(pieces.filter((one) => one.kind === 'gone').map((one) => one.text)).toEqual(['0912345678,']);
  expect(pieces.filter((one) => one.kind !== 'new').map((one) => one.text).join('')).toBe(before);
  expect(pieces.filter((one) => one.kind !== 'gone').map((one) => one.text).join('')).toBe(after);
  expect(changes('như cũ', 'như cũ')).toEqual([{ text: 'như cũ', kind: 'same' }]);
  expect(changes('', '')).toEqual([]);
});
