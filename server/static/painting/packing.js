// Tiles of a mask in few bytes: run-length encoded. Packed tiles go quickly to a worker or to the
// disk, where copies of their pixels would stop the page.

/**
 * Encode the values of a tile: length << 8 | value for each run; a copy of the values where the
 * runs would take more.
 */
export function pack(data) {
  if (!data) return null;
  const words = wordsOf(data);
  const runs = [];
  for (let index = 0; index < data.length; ) {
    const value = data[index];
    const four = value * 0x01010101;
    let end = index + 1;
    while (end & 3 && data[end] === value) end++;
    if (!(end & 3)) {
      while (end < data.length && words[end >> 2] === four) end += 4;
      while (end < data.length && data[end] === value) end++;
    }
    runs.push(((end - index) << 8) | value);
    index = end;
    if (runs.length === words.length) return data.slice();
  }
  return Uint32Array.from(runs);
}

/** Encode `length` values that are `value` at sorted places, and zero elsewhere. */
export function packPlaces(places, value, length) {
  const runs = [];
  let end = 0; // of the values that are encoded
  for (let at = 0; at < places.length; ) {
    const start = places[at];
    if (start > end) runs.push((start - end) << 8);
    for (end = start; at < places.length && places[at] === end; at++) end++;
    runs.push(((end - start) << 8) | value);
  }
  if (end < length) runs.push((length - end) << 8);
  return Uint32Array.from(runs);
}

export function unpack(packed) {
  if (!packed || packed instanceof Uint8Array) return packed;
  const data = new Uint8Array(packed.reduce((sum, run) => sum + (run >>> 8), 0));
  let at = 0;
  for (const run of packed) data.fill(run & 255, at, (at += run >>> 8));
  return data;
}

/** A list of tiles, see tiles.js, with packed values; and back. */
export const packTiles = (tiles) => tiles.map(([column, row, data]) => [column, row, pack(data)]);
export const unpackTiles = (tiles) => tiles.map(([column, row, packed]) => [column, row, unpack(packed)]);

/** Whether all values of Uint32Array runs are zero. */
export const runsAreEmpty = (runs) => runs.every((run) => !(run & 255));

export function isEmpty(data) {
  const words = wordsOf(data);
  for (let at = 0; at < words.length; at++) if (words[at]) return false;
  return true;
}

/** Four values at once; the number of values in a tile is a multiple of four. */
export const wordsOf = (data) => new Uint32Array(data.buffer, data.byteOffset, data.length / 4);
