// The mask: for each pixel of the photo the share to be restored, 0 to 255. It is kept in tiles,
// which exist only where the user has painted; each has a canvas that shows it.

export const TILE = 512;
const FAINT = 16; // the engine restores pixels above this value; see UNKNOWN_ABOVE in dip/regions/rules.py

/** Merge the coverage of a pixel into a tile: marking takes the maximum, erasing the rest. */
export function mergeCoverage(data, index, coverage, erase) {
  if (erase) data[index] = Math.min(data[index], 255 - coverage);
  else if (coverage > data[index]) data[index] = coverage;
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

  /** The share of the photo that is marked, in [0, 1]. */
  get share() {
    let count = 0;
    for (const { data } of this.tiles.values()) for (let index = 0; index < data.length; index++) count += data[index] > FAINT;
    return count / (this.width * this.height);
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
        this.#show(tile, part);
      }
    }
    this.onChange(area);
  }

  /** Set a tile to earlier values, or remove it (null), without a step for undo. */
  restore(key, data) {
    const [column, row] = key.split(",").map(Number);
    if (data) {
      const tile = this.#tile(column, row);
      tile.data.set(data);
      this.#show(tile);
    } else {
      this.tiles.delete(key);
    }
    this.onChange({ left: column * TILE, top: row * TILE, right: (column + 1) * TILE, bottom: (row + 1) * TILE });
  }

  clear() {
    for (const key of [...this.tiles.keys()]) {
      this.onBeforeChange(this, key);
      this.tiles.delete(key);
    }
    this.onChange({ left: 0, top: 0, right: this.width, bottom: this.height });
  }

  /** Remove empty tiles. */
  removeEmptyTiles() {
    for (const [key, tile] of this.tiles) if (!tile.data.some((value) => value)) this.tiles.delete(key);
  }

  /** The rectangle around all tiles, wider by a margin; null if there are none. */
  extent(margin = 0) {
    if (this.empty) return null;
    let [left, top, right, bottom] = [Infinity, Infinity, 0, 0];
    for (const { column, row } of this.tiles.values()) {
      [left, top] = [Math.min(left, column * TILE), Math.min(top, row * TILE)];
      [right, bottom] = [Math.max(right, (column + 1) * TILE), Math.max(bottom, (row + 1) * TILE)];
    }
    return this.#clip({ left: left - margin, top: top - margin, right: right + margin, bottom: bottom + margin });
  }

  /** The values of a rectangle, row by row. */
  read({ left, top, right, bottom }) {
    const width = right - left;
    const values = new Uint8Array(width * (bottom - top));
    for (const { column, row, data } of this.tiles.values()) {
      const [x, y] = [column * TILE, row * TILE];
      const [from, to] = [Math.max(left, x), Math.min(right, x + TILE)];
      if (from >= to) continue;
      for (let line = Math.max(top, y); line < Math.min(bottom, y + TILE); line++) {
        const start = (line - y) * TILE - x;
        values.set(data.subarray(start + from, start + to), (line - top) * width + from - left);
      }
    }
    return values;
  }

  /** Set the values of a rectangle, through `combine(old, new)`. */
  write(rectangle, values, combine = (old, value) => value) {
    const width = rectangle.right - rectangle.left;
    this.change(rectangle, (data, x, y, part) => {
      for (let line = part.top; line < part.bottom; line++) {
        let from = (line - rectangle.top) * width + part.left - rectangle.left;
        let to = (line - y) * TILE + part.left - x;
        for (let column = part.left; column < part.right; column++, from++, to++) data[to] = combine(data[to], values[from]);
      }
    });
    this.removeEmptyTiles();
  }

  /** Draw the tiles in a clip rectangle of the canvas. */
  draw(context, viewport, left, clip) {
    const { scale } = viewport;
    context.imageSmoothingEnabled = scale < 3;
    context.imageSmoothingQuality = scale < 0.5 ? "medium" : "low";
    for (const { column, row, canvas } of this.tiles.values()) {
      const x0 = Math.round(left + viewport.x + column * TILE * scale);
      const y0 = Math.round(viewport.y + row * TILE * scale);
      const x1 = Math.round(left + viewport.x + (column + 1) * TILE * scale);
      const y1 = Math.round(viewport.y + (row + 1) * TILE * scale);
      if (x1 <= clip.x || y1 <= clip.y || x0 >= clip.x + clip.width || y0 >= clip.y + clip.height) continue;
      context.drawImage(canvas, x0, y0, x1 - x0, y1 - y0);
    }
  }

  #clip({ left, top, right, bottom }) {
    const area = {
      left: Math.max(0, Math.floor(left)), top: Math.max(0, Math.floor(top)),
      right: Math.min(this.width, Math.ceil(right)), bottom: Math.min(this.height, Math.ceil(bottom)),
    };
    return area.left < area.right && area.top < area.bottom ? area : null;
  }

  #tile(column, row) {
    const key = `${column},${row}`;
    let tile = this.tiles.get(key);
    if (!tile) {
      const canvas = new OffscreenCanvas(TILE, TILE);
      tile = { column, row, data: new Uint8Array(TILE * TILE), canvas, context: canvas.getContext("2d", { willReadFrequently: true }) };
      this.tiles.set(key, tile);
    }
    return tile;
  }

  #show(tile, part) {
    const [x, y] = [tile.column * TILE, tile.row * TILE];
    const area = part ?? { left: x, top: y, right: x + TILE, bottom: y + TILE };
    const [width, height] = [area.right - area.left, area.bottom - area.top];
    const image = new ImageData(width, height);
    const words = new Uint32Array(image.data.buffer); // little-endian, as every browser's machine is
    const [red, green, blue] = this.colour;
    const tint = red | (green << 8) | (blue << 16);
    for (let line = 0, to = 0; line < height; line++) {
      let from = (area.top - y + line) * TILE + area.left - x;
      for (let column = 0; column < width; column++) words[to++] = tint | (tile.data[from++] << 24);
    }
    tile.context.putImageData(image, area.left - x, area.top - y);
  }
}
