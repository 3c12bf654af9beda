// A tile of a mask: its values, packed until they are changed, and the canvas that shows them.

import { isEmpty, pack, runsAreEmpty, unpack, wordsOf } from "./packing.js";
import { TILE } from "./tiles.js";

// The pixels of a canvas before they are shown: a new one for each would be a megabyte of garbage.
const image = new ImageData(TILE, TILE);
const words = new Uint32Array(image.data.buffer); // little-endian, as every browser's machine is

const EMPTY = Uint32Array.of((TILE * TILE) << 8); // packed

export class MaskTile {
  canvas = null;
  level = 0; // of the canvas: each has half the width and height of the one before
  changed = null; // the rectangle that the canvas does not show yet
  #values; // Uint32Array: packed; Uint8Array: one for each pixel

  constructor(column, row) {
    Object.assign(this, { column, row });
    this.put(EMPTY);
  }

  /** The values of the pixels, which may be changed. */
  get data() {
    return (this.#values = unpack(this.#values));
  }

  /** The values as few bytes, which stay as they are; see packing.js. */
  get packed() {
    return this.#values instanceof Uint32Array ? this.#values : pack(this.#values);
  }

  get empty() {
    return this.#values instanceof Uint32Array ? runsAreEmpty(this.#values) : isEmpty(this.#values);
  }

  /** Take values, packed or not; they are kept and not copied. */
  put(values) {
    this.#values = values;
    const [x, y] = [this.column * TILE, this.row * TILE];
    this.touch({ left: x, top: y, right: x + TILE, bottom: y + TILE });
  }

  /** Note that a part has changed; it is shown when the tile is drawn next. */
  touch(part) {
    const old = this.changed ?? part;
    this.changed = {
      left: Math.min(old.left, part.left), top: Math.min(old.top, part.top),
      right: Math.max(old.right, part.right), bottom: Math.max(old.bottom, part.bottom),
    };
  }

  /** Whether the canvas shows the present values at a level. */
  isShown(level) {
    return this.canvas && !this.changed && this.level === level;
  }

  /** Draw the changed part on the canvas, of 2 ** -level times the size. */
  show(level, [red, green, blue]) {
    if (this.canvas && this.level !== level) this.free();
    const [x, y, side] = [this.column * TILE, this.row * TILE, TILE >> level];
    const area = (this.canvas && this.changed) || { left: x, top: y, right: x + TILE, bottom: y + TILE };
    this.canvas ??= new OffscreenCanvas(side, side);
    [this.level, this.changed] = [level, null];
    const [left, top] = [(area.left - x) >> level, (area.top - y) >> level];
    const [right, bottom] = [(area.right - x - 1) >> level, (area.bottom - y - 1) >> level];
    const tint = red | (green << 8) | (blue << 16);
    if (this.#values instanceof Uint32Array) drawRuns(this.#values, level, tint);
    else drawValues(this.#values, { left, top, right, bottom }, level, tint);
    const context = this.canvas.getContext("2d", { willReadFrequently: true });
    context.putImageData(image, 0, 0, left, top, right - left + 1, bottom - top + 1);
  }

  /** Free the canvas at once: the browser would keep it until it collects its garbage. */
  free() {
    if (this.canvas) this.canvas.width = 0;
    this.canvas = null;
  }
}

/** Draw packed values, at the largest of each square: so a small mark is seen from far away. */
function drawRuns(runs, level, tint) {
  const side = TILE >> level;
  for (let row = 0; row < side; row++) words.fill(tint, row * TILE, row * TILE + side);
  let end = 0;
  for (const run of runs) {
    const alpha = run & 255;
    let at = end;
    end += run >>> 8;
    if (!alpha) continue;
    while (at < end) {
      const row = Math.floor(at / TILE);
      const rest = Math.min(end, (row + 1) * TILE);
      const shown = (row >> level) * TILE;
      for (let column = (at - row * TILE) >> level; column <= (rest - 1 - row * TILE) >> level; column++) {
        if (alpha > words[shown + column] >>> 24) words[shown + column] = tint | (alpha << 24);
      }
      at = rest;
    }
  }
}

/** Draw a part of values that are not packed. */
function drawValues(data, { left, top, right, bottom }, level, tint) {
  const fours = wordsOf(data);
  for (let row = top; row <= bottom; row++) {
    for (let column = left, to = row * TILE + left; column <= right; column++) {
      words[to++] = tint | (largest(data, fours, column << level, row << level, 1 << level) << 24);
    }
  }
}

/** The largest value in a square of a tile. */
function largest(data, fours, left, top, side) {
  const wide = Math.max(4, side); // most of a mask is zero: four values are read at once
  let value = 0;
  for (let start = top * TILE + left, end = start + side * TILE; start < end; start += TILE) {
    for (let word = start >> 2; word < (start + wide) >> 2; word++) {
      if (!fours[word]) continue;
      const last = Math.min(start + side, (word + 1) << 2);
      for (let at = Math.max(start, word << 2); at < last; at++) if (data[at] > value) value = data[at];
    }
  }
  return value;
}
