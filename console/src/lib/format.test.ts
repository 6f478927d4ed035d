import { describe, expect, it } from 'vitest';

import { absolute, fold, lasting, MINUTE, SECOND } from './format';

describe('fold', () => {

  it('knows Vietnamese letters without their marks, đ as d', () => {
    expect(fold('Đồng Tháp')).toBe('dong thap');
    expect(fold('Mỹ Tho, Gò Công')).toBe('my tho, go cong');
  });
});

describe('absolute', () => {
  it('says the second, in the zone of the province, also where the minute or the hour is 00', () => {
    for (const ms of [Date.UTC(2026, 10, 22, 11, 46, 15), Date.UTC(2026, 10, 22, 11, 0, 0), Date.UTC(2026, 10, 22, 17, 0, 9, 999), Date.UTC(2026, 10, 22, 17, 0, 0)]) {
      const wanted = new Intl.DateTimeFormat('vi-VN', { timeZone: 'Asia/Ho_Chi_Minh', hourCycle: 'h23', day: '2-digit', month: '2-digit', year: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit' }).format(ms);
      expect(absolute(ms * 1000)).toBe(wanted);
    }
  });
});

describe('lasting', () => {
  it('says two units at most', () => {
    expect(lasting(59 * SECOND)).toBe('59 giây');
    expect(lasting(125 * MINUTE)).toBe('2 giờ 5 phút');
  });
});
