// The mask: for each pixel of the photo the share to be restored, 0 to 255. It is kept in tiles,
// which exist only where something is marked.

import { MaskTile } from "./mask-tile.js";
import { TILE } from "./tiles.js";

const COARSEST = 4; // level of a tile's canvas

/** Merge the coverage of a pixel into a tile: marking takes the maximum, erasing the rest. */
export function mergeCoverage(data, index, coverage, erase) {
  if (erase) data[index] = Math.min(data[index], 255 - coverage);
  else if (coverage > data[index]) data[index] = coverage;
}

export class Mask {
  tiles = new Map(); // "column,row" -> MaskTile
  onChange = () => {}; // after a change: (rectangle of the image)
  onBeforeChange = () => {}; // before a tile changes: (mask, key)

  constructor(width, height, colour) {
    Object.assign(this, { width, height, colour });
  }

  get empty() {
    return this.tiles.size === 0;
  }

  /** All tiles as a list, packed; see packing.js. */
  get list() {
    return Array.from(this.tiles.values(), ({ column, row, packed }) => [column, row, packed]);
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
        tile.touch(part);
      }
    }
    this.onChange(area);
  }

  /** Set a tile to earlier values, packed, or remove it (null), without a step for undo. */
  restore(key, packed) {
    const [column, row] = key.split(",").map(Number);
    if (packed) this.#tile(column, row).put(packed);
    else this.#remove(key);
    this.onChange({ left: column * TILE, top: row * TILE, right: (column + 1) * TILE, bottom: (row + 1) * TILE });
  }

  /** Replace all tiles by those of a list, packed or not, which are kept and not copied. */
  replace(list) {
    const left = new Set(this.tiles.keys());
    for (const [column, row, values] of list) {
      const key = `${column},${row}`;
      left.delete(key);
      this.onBeforeChange(this, key);
      this.#tile(column, row).put(values);
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
    for (const tile of this.tiles.values()) tile.free();
    this.onChange(this.#whole);
  }

  /** Remove empty tiles. */
  removeEmptyTiles() {
    for (const [key, tile] of this.tiles) if (tile.empty) this.#remove(key);
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
      if (!tile.isShown(level)) {
        if (performance.now() < until) tile.show(level, this.colour);
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

  /** The tile at a place, which is about to change. */
  #tile(column, row) {
    const key = `${column},${row}`;
    this.#unsaved.add(key);
    if (!this.tiles.has(key)) this.tiles.set(key, new MaskTile(column, row));
    return this.tiles.get(key);
  }

  #remove(key) {
    this.#unsaved.add(key);
    this.tiles.get(key)?.free();
    this.tiles.delete(key);
  }
}
