/** Proof of work: a number n for which the SHA-256 of "token:n" begins with so many zero bits. SHA-256 as FIPS 180-4 has it:
    the browser's own is there only on encrypted pages, and asks a promise for each number. */

"use strict";

const K = new Uint32Array(64), H = new Uint32Array(8);
{
  let found = 0;
  for (let n = 2; found < 64; n++) {
    let prime = true;
    for (let d = 2; d * d <= n; d++) if (n % d === 0) { prime = false; break; }
    if (!prime) continue;
    const fraction = (root) => Math.floor((root - Math.floor(root)) * 2 ** 32);
    if (found < 8) H[found] = fraction(Math.sqrt(n));
    K[found++] = fraction(Math.cbrt(n));
  }
}
const W = new Uint32Array(64);

/** The first word of the digest, which is all that so few bits need. */
function firstWord(text) {
  const length = text.length, blocks = ((length + 8) >> 6) + 1;
  const bytes = new Uint8Array(blocks * 64), view = new DataView(bytes.buffer);
  for (let i = 0; i < length; i++) bytes[i] = text.charCodeAt(i);
  bytes[length] = 0x80;
  view.setUint32(bytes.length - 4, length * 8);
  const hash = Uint32Array.from(H);
  for (let block = 0; block < blocks; block++) {
    for (let i = 0; i < 16; i++) W[i] = view.getUint32(block * 64 + i * 4);
    for (let i = 16; i < 64; i++) {
      const x = W[i - 15], y = W[i - 2];
      const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
      const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
      W[i] = (W[i - 16] + s0 + W[i - 7] + s1) | 0;
    }
    let [a, b, c, d, e, f, g, h] = hash;
    for (let i = 0; i < 64; i++) {
      const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
      const one = (h + s1 + ((e & f) ^ (~e & g)) + K[i] + W[i]) | 0;
      const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
      const two = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g; g = f; f = e; e = (d + one) | 0; d = c; c = b; b = a; a = (one + two) | 0;
    }
    hash[0] += a; hash[1] += b; hash[2] += c; hash[3] += d; hash[4] += e; hash[5] += f; hash[6] += g; hash[7] += h;
  }
  return hash[0];
}

onmessage = ({ data: [token, bits] }) => {
  let n = 0;
  while (bits && firstWord(`${token}:${n}`) >>> (32 - bits)) n++;
  postMessage(String(n));
};
