import { describe, expect, it } from 'vitest';

import { bereft, ready, settled, type Item } from '../../lib/outbox/model';
import { opensAt, workingLeft } from './due';
import { takenAt } from './exif';

const H = 3_600_000_000;
const spans = [
  { begin: 7 * H, end: 11 * H },
  { begin: 13 * H, end: 17 * H },
  { begin: 31 * H, end: 35 * H },
];

describe('working time', () => {
  it('counts only while offices are open', () => {
    expect(workingLeft(10 * H, 14 * H, spans)).toBe(2 * H);
    expect(workingLeft(18 * H, 32 * H, spans)).toBe(H);
    expect(workingLeft(12 * H, 13 * H, spans)).toBe(0);
  });
  it('says nothing of what the calendar does not reach', () => expect(workingLeft(10 * H, 40 * H, spans)).toBeNull());
  it('knows when offices open', () => {
    expect(opensAt(8 * H, spans)).toBeNull();
    expect(opensAt(12 * H, spans)).toBe(13 * H);
    expect(opensAt(12 * H, [])).toBeNull();
  });
});

const item = (id: number, more: Partial<Item> = {}): Item => ({
  id, who: 'person:x', key: `k${id}`, kind: 'comment', made: 0, path: '/x', body: null, file: null, state: 'waiting', tries: 0, trouble: null, needs: [], task: null,
  incident: null, attach: '', title: '', text: '', seen: null, ...more,
});

describe('the queue', () => {
  it('is sent in order, but for what waits for something stuck', () => {
    const queue = [item(1, { state: 'conflict', task: 5, kind: 'done' }), item(2, { task: 5, kind: 'extend' }), item(3, { needs: [1] }), item(4)];
    expect(ready(queue).map((one) => one.id)).toEqual([4]);
  });
  it('lets a remark stand in nobody’s way', () => {
    expect(ready([item(1, { state: 'refused', task: 5 }), item(2, { task: 5, kind: 'done' })]).map((one) => one.id)).toEqual([2]);
  });
  it('puts in what the answer said', () => {
    const photo = item(8, { kind: 'photo', path: '/api/v1/incidents/{7.incident}/attachments?name=a', needs: [7] });
    expect(settled(photo, 7, { incident: 12 })).toMatchObject({ path: '/api/v1/incidents/12/attachments?name=a', needs: [], incident: 12 });
    const done = item(9, { body: { evidence: ['photo:{8.link}'] }, needs: [8] });
    expect(settled(done, 8, { link: 3 }).body).toEqual({ evidence: ['photo:3'] });
    expect(settled(done, 6, { link: 3 })).toBe(done);
  });
  it('leaves out what was thrown away', () => {
    const done = item(9, { body: { evidence: ['photo:{8.link}', 'photo:2'] }, needs: [8] });
    expect(bereft(done, 8)).toMatchObject({ body: { evidence: ['photo:2'] }, needs: [] });
    expect(bereft(item(8, { path: '/incidents/{7.incident}/attachments', needs: [7] }), 7)).toBeNull();
  });
});

/** A JPEG's head with one EXIF date, as cameras write it. */
function jpeg(date: string, offset: string): ArrayBuffer {
  const entries = [
    { tag: 0x9003, text: `${date}\0` },
    { tag: 0x9011, text: `${offset}\0` },
  ];
  const tiff = new DataView(new ArrayBuffer(200));
  tiff.setUint16(0, 0x4949);
  tiff.setUint16(2, 42, true);
  tiff.setUint32(4, 8, true);
  tiff.setUint16(8, 1, true);
  tiff.setUint16(10, 0x8769, true);
  tiff.setUint16(12, 4, true);
  tiff.setUint32(14, 1, true);
  tiff.setUint32(18, 26, true);
  tiff.setUint16(26, entries.length, true);
  let at = 80;
  entries.forEach(({ tag, text }, index) => {
    const base = 28 + index * 12;
    tiff.setUint16(base, tag, true);
    tiff.setUint16(base + 2, 2, true);
    tiff.setUint32(base + 4, text.length, true);
    tiff.setUint32(base + 8, at, true);
    for (const letter of text) tiff.setUint8(at++, letter.charCodeAt(0));
  });
  const head = [0xff, 0xd8, 0xff, 0xe1, 0, 208, 0x45, 0x78, 0x69, 0x66, 0, 0];
  return new Uint8Array([...head, ...new Uint8Array(tiff.buffer)]).buffer;
}

describe('the time in a photo', () => {
  it('is read with its offset', () => expect(takenAt(jpeg('2026:11:22 08:30:00', '+07:00'))).toBe(Date.UTC(2026, 10, 22, 1, 30) * 1000));
  it('is none where there is none', () => {
    expect(takenAt(new ArrayBuffer(0))).toBeNull();
    expect(takenAt(new Uint8Array([0xff, 0xd8, 0xff, 0xe1, 0xff]).buffer)).toBeNull();
    expect(takenAt(jpeg('0000:00:00 00:00:00', '+07:00'))).toBeNull();
  });
});
