import { describe, expect, it } from 'vitest';

import { fold } from './format';

describe('fold', () => {

  it('knows Vietnamese letters without their marks, đ as d', () => {
    expect(fold('Đồng Tháp')).toBe('dong thap');
    expect(fold('Mỹ Tho, Gò Công')).toBe('my tho, go cong');
  });
});
