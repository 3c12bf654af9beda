// The mask: for each pixel of the photo the share to be restored, 0 to 255. It is kept in tiles,
// which exist only where something is marked; each has a canvas that shows it.

import { TILE } from "./tiles.js";

/** Merge the coverage of a pixel into a tile: marking takes the maximum, erasing the rest. */
export function mergeCoverage(data, index, coverage, erase) {
  if (erase) data[index] = Math.min(data[index], 255 - coverage);
  else if (coverage > data[index]) data[index] = coverage;
}

// The pixels of a tile before they are shown: a new one for each would be a megabyte of garbage.
const image = new ImageData(TILE, TILE);
const words = new Uint32Array(image.data.buffer); // little-endian, as every browser's machine is

/** Free the canvas of a tile at once: the browser would keep it until it collects its garbage. */
function free(tile) {
  if (tile?.canvas) tile.canvas.width = 0;
  if (tile) tile.canvas = null;
}

export class Mask {
  tiles = new Map(); // "column,row" -> { column, row, data: Uint8Array, canvas, context }
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
    for (const [key, tile] of this.tiles) if (!tile.data.some((value) => value)) this.#remove(key);
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
    let waiting = false;
    context.imageSmoothingEnabled = scale < 3;
    context.imageSmoothingQuality = scale < 0.5 ? "medium" : "low";
    for (const tile of this.tiles.values()) {
      const { column, row } = tile;
      const x0 = Math.round(left + viewport.x + column * TILE * scale);
      const y0 = Math.round(viewport.y + row * TILE * scale);
      const x1 = Math.round(left + viewport.x + (column + 1) * TILE * scale);
      const y1 = Math.round(viewport.y + (row + 1) * TILE * scale);
      if (x1 <= clip.x || y1 <= clip.y || x0 >= clip.x + clip.width || y0 >= clip.y + clip.height) continue;
      if (tile.changed || !tile.canvas) {
        if (performance.now() < until) this.#show(tile);
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

  #show(tile) {
    const [x, y] = [tile.column * TILE, tile.row * TILE];
    const area = (tile.canvas && tile.changed) || { left: x, top: y, right: x + TILE, bottom: y + TILE };
    tile.canvas ??= new OffscreenCanvas(TILE, TILE);
    tile.changed = null;
    const [width, height] = [area.right - area.left, area.bottom - area.top];
    const [red, green, blue] = this.colour;
    const tint = red | (green << 8) | (blue << 16);
    for (let line = 0; line < height; line++) {
      let from = (area.top - y + line) * TILE + area.left - x;
      for (let column = 0, to = line * TILE; column < width; column++) words[to++] = tint | (tile.data[from++] << 24);
    }
    tile.canvas.getContext("2d", { willReadFrequently: true }).putImageData(image, area.left - x, area.top - y, 0, 0, width, height);
  }
}
