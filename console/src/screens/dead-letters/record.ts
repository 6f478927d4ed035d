/** A dead letter's record as a person can read it: fields where it has them, text, or bytes as hex beside their letters. */

export type Shown = { as: 'fields'; text: string } | { as: 'text'; text: string } | { as: 'hex'; text: string };

const ROW = 16;
const LIMIT = 16_384;

/** Bytes that a stage wrote as text with `\xNN` where it was none (Python's backslashreplace). */
function bytesOf(text: string): Uint8Array {
  const found: number[] = [];
  const encoder = new TextEncoder();
  for (let at = 0; at < text.length && found.length < LIMIT; ) {
    const escaped = /^\\x([0-9a-f]{2})/.exec(text.slice(at, at + 4));
    if (escaped) {
      found.push(parseInt(escaped[1] ?? '0', 16));
      at += 4;
      continue;
    }
    const point = text.codePointAt(at) ?? 0;
    const letter = String.fromCodePoint(point);
    found.push(...encoder.encode(letter));
    at += letter.length;
  }
  return Uint8Array.from(found);
}

/** 16 bytes a line: offset, hex, letters. */
export function hex(bytes: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += ROW) {
    const part = [...bytes.subarray(at, at + ROW)];
    const codes = part.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    const letters = part.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.')).join('');
    lines.push(`${at.toString(16).padStart(6, '0')}  ${codes.padEnd(ROW * 3 - 1)}  ${letters}`);
  }
  return lines.join('\n');
}

// eslint-disable-next-line no-control-regex
const BINARY = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f\ufffd]|\\x[0-9a-f]{2}/;

export function shown(record: unknown): Shown {
  if (typeof record === 'string') {
    if (BINARY.test(record)) return { as: 'hex', text: hex(bytesOf(record)) };
    try {
      const parsed: unknown = JSON.parse(record);
      if (parsed !== null && typeof parsed === 'object') return { as: 'fields', text: JSON.stringify(parsed, null, 2) };
    } catch {
      // plain text
    }
    return { as: 'text', text: record };
  }
  if (record !== null && typeof record === 'object') {
    const payload = (record as { payload?: unknown }).payload;
    if (typeof payload === 'string' && BINARY.test(payload)) {
      return { as: 'hex', text: `${JSON.stringify({ ...record, payload: undefined }, null, 2)}\n\n${hex(bytesOf(payload))}` };
    }
    return { as: 'fields', text: JSON.stringify(record, null, 2) };
  }
  return { as: 'text', text: record === undefined ? '' : String(record) };
}
