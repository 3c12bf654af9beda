// Masks in tiles, as lists of [column, row, values]: cut from planes, and put together. A tile
// that is missing is empty.

import { isEmpty } from "./packing.js";

export const TILE = 512;
export const FAINT = 16; // the engine restores pixels above this value; see UNKNOWN_ABOVE in dip/regions/rules.py

/** The rectangle around tiles, wider by a margin, within the photo; null without tiles. */
export function extentOf(tiles, width, height, margin = 0) {
  if (!tiles.length) return null;
  let [left, top, right, bottom] = [Infinity, Infinity, 0, 0];
  for (const [column, row] of tiles) {
    [left, top] = [Math.min(left, column * TILE), Math.min(top, row * TILE)];
    [right, bottom] = [Math.max(right, (column + 1) * TILE), Math.max(bottom, (row + 1) * TILE)];
  }
  return {
    left: Math.max(0, left - margin), top: Math.max(0, top - margin),
    right: Math.min(width, right + margin), bottom: Math.min(height, bottom + margin),
  };
}

/** The values of a rectangle, row by row; where lists overlap, the larger value. */
export function assemble({ left, top, right, bottom }, ...lists) {
  const width = right - left;
  const plane = new Uint8Array(width * (bottom - top));
  lists.forEach((tiles, turn) => {
    for (const [column, row, data] of tiles) {
      const [x, y] = [column * TILE, row * TILE];
      const [from, to] = [Math.max(left, x), Math.min(right, x + TILE)];
      if (from >= to) continue;
      for (let line = Math.max(top, y); line < Math.min(bottom, y + TILE); line++) {
        const start = (line - y) * TILE - x;
        const target = (line - top) * width - left;
        if (!turn) plane.set(data.subarray(start + from, start + to), target + from);
        else for (let at = from; at < to; at++) if (data[start + at] > plane[target + at]) plane[target + at] = data[start + at];
      }
    }
  });
  return plane;
}

/** Cut the values of a rectangle into tiles; empty ones are left out. */
export function cut(plane, { left, top, right, bottom }) {
  const width = right - left;
  const tiles = [];
  for (let row = Math.floor(top / TILE); row * TILE < bottom; row++) {
    for (let column = Math.floor(left / TILE); column * TILE < right; column++) {
      const [x, y] = [column * TILE, row * TILE];
      const [from, to] = [Math.max(left, x), Math.min(right, x + TILE)];
      const data = new Uint8Array(TILE * TILE);
      for (let line = Math.max(top, y); line < Math.min(bottom, y + TILE); line++) {
        const start = (line - top) * width - left;
        data.set(plane.subarray(start + from, start + to), (line - y) * TILE + from - x);
      }
      if (!isEmpty(data)) tiles.push([column, row, data]);
    }
  }
  return tiles;
}
