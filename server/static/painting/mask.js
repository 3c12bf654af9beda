// The mask: for each pixel of the photo the share to be restored, 0 to 255. It is kept in tiles,
// which exist only where something is marked; each has a canvas that shows it.

import { isEmpty, wordsOf } from "./packing.js";
import { TILE } from "./tiles.js";

const COARSEST = 4; // level; each has half the width and height of the one before

/** Merge the coverage of a pixel into a tile: marking takes the maximum, erasing the rest. */
export function mergeCoverage(data, index, coverage, erase) {
  if (erase) data[index] = Math.min(data[index], 255 - coverage);
  else if (coverage > data[index]) data[index] = coverage;
}

// The pixels of a canvas before they are shown: a new one for each would be a megabyte of garbage.
const image = new ImageData(TILE, TILE);
const words = new Uint32Array(image.data.buffer); // little-endian, as every browser's machine is

/** Free the canvas of a tile at once: the browser would keep it until it collects its garbage. */
function free(tile) {
  if (tile?.canvas) tile.canvas.width = 0;
  if (tile) tile.canvas = null;
}

export class Mask {
  tiles = new Map(); // "column,row" -> { column, row, data: Uint8Array, canvas, level, changed }
  onChange = () => {}; // after a change: (rectangle of the image)
  onBeforeChange = () => {}; // before a tile changes: (mask, key)

  constructor(width, height, colour) {
    Object.assign(this, { width, height, colour });
  }

  get empty() {
    return this.tiles.size === 0;
  }

  /** All tiles as a list; see tiles.js. */
  get list() {
    return Array.from(this.tiles.values(), ({ column, row, data }) => [column, row, data]);
  }

  /**
   * Change a rectangle of the mask. `change(data, x, y, part)` is called for each tile, with the
   * position of its first pixel and the part of the rectangle in it.
   */
  change(rectangle, change, { create = true } = {}) {
    const area = this.#clip(rectangle);
    if (!area) return;
    for (let row = Math.floor(area.top / TILE); row * TILE < area.bottom; row++) {
      for (let column = Math.floor(area.left / TILE); column * TILE < area.right; column++) {
        const key = `${column},${row}`;
        if (!create && !this.tiles.has(key)) continue;
        this.onBeforeChange(this, key);
        const tile = this.#tile(column, row);
        const [x, y] = [column * TILE, row * TILE];
        const part = {
          left: Math.max(area.left, x), top: Math.max(area.top, y),
          right: Math.min(area.right, x + TILE, this.width), bottom: Math.min(area.bottom, y + TILE, this.height),
        };
        change(tile.data, x, y, part);
        this.#touch(tile, part);
      }
    }
    this.onChange(area);
  }

  /** Set a tile to earlier values, or remove it (null), without a step for undo. */
  restore(key, data) {
    const [column, row] = key.split(",").map(Number);
    const area = { left: column * TILE, top: row * TILE, right: (column + 1) * TILE, bottom: (row + 1) * TILE };
    if (data) {
      const tile = this.#tile(column, row);
      tile.data.set(data);
      this.#touch(tile, area);
    } else {
      this.#remove(key);
    }
    this.onChange(area);
  }

  /** Replace all tiles by those of a list, which are kept and not copied. */
  replace(list) {
    const left = new Set(this.tiles.keys());
    for (const [column, row, data] of list) {
      const key = `${column},${row}`;
      left.delete(key);
      this.onBeforeChange(this, key);
      const tile = this.#tile(column, row, data);
      tile.data = data;
      this.#touch(tile, { left: column * TILE, top: row * TILE, right: (column + 1) * TILE, bottom: (row + 1) * TILE });
    }
    for (const key of left) {
      this.onBeforeChange(this, key);
      this.#remove(key);
    }
    this.onChange(this.#whole);
  }

  clear() {
    this.replace([]);
  }

  /** Show the mask in another colour. */
  recolour(colour) {
    this.colour = colour;
    for (const tile of this.tiles.values()) free(tile);
    this.onChange(this.#whole);
  }

  /** Remove empty tiles. */
  removeEmptyTiles() {
    for (const [key, tile] of this.tiles) if (isEmpty(tile.data)) this.#remove(key);
  }

  /** The keys of tiles that have changed since the last call. */
  takeUnsaved() {
    const keys = this.#unsaved;
    this.#unsaved = new Set();
    return keys;
  }

  /**
   * Draw the tiles in a clip rectangle of the canvas.
   *
   * @param until time after which changed tiles wait for the next frame
   * @returns whether tiles wait
   */
  draw(context, viewport, left, clip, until) {
    const { scale } = viewport;
    const level = Math.min(COARSEST, Math.max(0, Math.floor(-Math.log2(scale))));
    let waiting = false;
    context.imageSmoothingEnabled = scale < 3;
    context.imageSmoothingQuality = "low";
    for (const tile of this.tiles.values()) {
      const { column, row } = tile;
      const x0 = Math.round(left + viewport.x + column * TILE * scale);
      const y0 = Math.round(viewport.y + row * TILE * scale);
      const x1 = Math.round(left + viewport.x + (column + 1) * TILE * scale);
      const y1 = Math.round(viewport.y + (row + 1) * TILE * scale);
      if (x1 <= clip.x || y1 <= clip.y || x0 >= clip.x + clip.width || y0 >= clip.y + clip.height) continue;
      if (tile.changed || !tile.canvas || tile.level !== level) {
        if (performance.now() < until) this.#show(tile, level);
        else waiting = true;
      }
      if (tile.canvas) context.drawImage(tile.canvas, x0, y0, x1 - x0, y1 - y0);
    }
    return waiting;
  }

  #unsaved = new Set();

  get #whole() {
    return { left: 0, top: 0, right: this.width, bottom: this.height };
  }

  #clip({ left, top, right, bottom }) {
    const area = {
      left: Math.max(0, Math.floor(left)), top: Math.max(0, Math.floor(top)),
      right: Math.min(this.width, Math.ceil(right)), bottom: Math.min(this.height, Math.ceil(bottom)),
    };
    return area.left < area.right && area.top < area.bottom ? area : null;
  }

  #tile(column, row, data) {
    const key = `${column},${row}`;
    let tile = this.tiles.get(key);
    if (!tile) {
      tile = { column, row, data: data ?? new Uint8Array(TILE * TILE), canvas: null, changed: null };
      this.tiles.set(key, tile);
    }
    return tile;
  }

  /** Note that a part of a tile has changed; it is shown when the tile is drawn next. */
  #touch(tile, part) {
    this.#unsaved.add(`${tile.column},${tile.row}`);
    const old = tile.changed ?? part;
    tile.changed = {
      left: Math.min(old.left, part.left), top: Math.min(old.top, part.top),
      right: Math.max(old.right, part.right), bottom: Math.max(old.bottom, part.bottom),
    };
  }

  #remove(key) {
    this.#unsaved.add(key);
    free(this.tiles.get(key));
    this.tiles.delete(key);
  }

  /** Draw the changed part of a tile on its canvas, of 2 ** -level times the size. */
  #show(tile, level) {
    if (tile.canvas && tile.level !== level) free(tile);
    const [x, y, side] = [tile.column * TILE, tile.row * TILE, TILE >> level];
    const area = (tile.canvas && tile.changed) || { left: x, top: y, right: x + TILE, bottom: y + TILE };
    tile.canvas ??= new OffscreenCanvas(side, side);
    [tile.level, tile.changed] = [level, null];
    const [left, top] = [(area.left - x) >> level, (area.top - y) >> level];
    const [right, bottom] = [(area.right - x - 1) >> level, (area.bottom - y - 1) >> level];
    const [red, green, blue] = this.colour;
    const tint = red | (green << 8) | (blue << 16);
    const values = wordsOf(tile.data);
    for (let row = top; row <= bottom; row++) {
      for (let column = left, to = (row - top) * TILE; column <= right; column++) {
        words[to++] = tint | (largest(tile.data, values, column << level, row << level, 1 << level) << 24);
      }
    }
    tile.canvas.getContext("2d", { willReadFrequently: true }).putImageData(image, left, top, 0, 0, right - left + 1, bottom - top + 1);
  }
}

/** The largest value in a square of a tile: so a small mark is seen from far away. */
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
