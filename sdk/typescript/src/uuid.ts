// UUIDs of version 7 (RFC 9562, section 5.7): 48 bits of Unix milliseconds, then a counter
// of 12 bits that goes on within a millisecond (section 6.2, method 1), then 62 random bits.
// Ids of one page or process are in the order in which they were made, which is the order
// that the server keeps for events of the same second.

const hex: string[] = [];
for (let byte = 0; byte < 256; byte++) hex.push(byte.toString(16).padStart(2, "0"));

// A call of the random source costs more than an id: each call is for many.
const pool = new Uint8Array(16 * 64);
let used = pool.length;

let lastMs = 0;
let counter = 0;

/** Makes a UUID of version 7, later than every one made before. */
export function uuidv7(): string {
  if (used + 10 > pool.length) {
    crypto.getRandomValues(pool);
    used = 0;
  }
  const r = pool.subarray(used, used + 10);
  used += 10;
  const now = Date.now();
  if (now > lastMs) {
    lastMs = now;
    counter = ((r[0]! & 0x07) << 8) | r[1]!; // the top bit is room to count in
  } else if (++counter > 0xfff) {
    lastMs++; // ahead of the clock, and of a clock that was set back
    counter = ((r[0]! & 0x07) << 8) | r[1]!;
  }
  const high = Math.floor(lastMs / 0x1_0000);
  const low = lastMs & 0xffff;
  return (
    hex[(high >>> 24) & 0xff]! + hex[(high >>> 16) & 0xff]! + hex[(high >>> 8) & 0xff]! + hex[high & 0xff]! +
    "-" + hex[low >>> 8]! + hex[low & 0xff]! +
    "-" + hex[0x70 | (counter >>> 8)]! + hex[counter & 0xff]! +
    "-" + hex[0x80 | (r[2]! & 0x3f)]! + hex[r[3]!]! +
    "-" + hex[r[4]!]! + hex[r[5]!]! + hex[r[6]!]! + hex[r[7]!]! + hex[r[8]!]! + hex[r[9]!]!
  );
}
