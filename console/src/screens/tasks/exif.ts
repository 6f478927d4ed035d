/** When a photo was taken, as the camera wrote it into the file (EXIF 2.32, DateTimeOriginal and its offset). */

const EXIF_IFD = 0x8769;
const ORIGINAL = 0x9003;
const OFFSET = 0x9011;
const HERE = '+07:00'; // cameras that write no offset mean the province's time

/** µs since 1970; null where nothing is said, or nothing sensible. */
export function takenAt(file: ArrayBuffer): number | null {
  try {
    const view = new DataView(file);
    if (view.getUint16(0) !== 0xffd8) return null;
    for (let at = 2; at < view.byteLength - 4; at += 2 + view.getUint16(at + 2)) {
      const marker = view.getUint16(at);
      if (marker >> 8 !== 0xff || marker === 0xffda) return null;
      if (marker === 0xffe1 && view.getUint32(at + 4) === 0x45786966) return original(view, at + 10);
    }
  } catch {
    // the file ends too early
  }
  return null;
}

function original(view: DataView, tiff: number): number | null {
  const little = view.getUint16(tiff) === 0x4949;
  const find = (ifd: number, wanted: number): number | null => {
    const count = view.getUint16(tiff + ifd, little);
    for (let index = 0; index < count; index += 1) {
      const entry = tiff + ifd + 2 + index * 12;
      if (view.getUint16(entry, little) === wanted) return entry;
    }
    return null;
  };
  const text = (entry: number | null): string => {
    if (entry === null) return '';
    const length = view.getUint32(entry + 4, little);
    const from = length > 4 ? tiff + view.getUint32(entry + 8, little) : entry + 8;
    let said = '';
    for (let index = 0; index < Math.min(length, 40); index += 1) said += String.fromCharCode(view.getUint8(from + index));
    return said.replace(/\0.*$/s, '').trim();
  };
  const pointer = find(view.getUint32(tiff + 4, little), EXIF_IFD);
  if (pointer === null) return null;
  const ifd = view.getUint32(pointer + 8, little);
  const parts = /^(\d{4}):(\d\d):(\d\d) (\d\d:\d\d:\d\d)$/.exec(text(find(ifd, ORIGINAL)));
  if (!parts) return null;
  const offset = text(find(ifd, OFFSET));
  const ms = Date.parse(`${parts[1]}-${parts[2]}-${parts[3]}T${parts[4]}${/^[+-]\d\d:\d\d$/.test(offset) ? offset : HERE}`);
  return Number.isFinite(ms) && ms > 0 ? ms * 1000 : null;
}
