// A picture as an image pyramid: tiles at full size, half, a quarter and so on. A redraw costs as
// much as the screen has pixels, not as much as the photo has. A worker decodes it.

const worker = new Worker(new URL("./picture-worker.js", import.meta.url), { type: "module" });
const handlers = new Map();
let count = 0;

worker.onmessage = ({ data }) => handlers.get(data.id)(data);

export class Picture {
  #closed = false;

  constructor({ width, height, levels, transparent }) {
    Object.assign(this, { width, height, transparent });
    this.levels = levels.map((level) => ({ ...level, tiles: [] })); // the finest first
  }

  addTile({ level, column, row, bitmap }) {
    if (this.#closed) return bitmap.close();
    (this.levels[level].tiles[row] ??= [])[column] = bitmap;
  }

  /** Release the memory. */
  close() {
    this.#closed = true;
    for (const { tiles } of this.levels) for (const row of tiles) for (const tile of row ?? []) tile?.close();
    this.levels = [];
  }
}

/**
 * Open a picture that the browser can decode. The promise resolves with the first, coarsest tile;
 * `onTile` is called for each tile, as the picture gets sharper.
 */
export function openPicture(blob, onTile = () => {}) {
  return new Promise((resolve, reject) => {
    const id = ++count;
    let picture;
    handlers.set(id, (message) => {
      if (message.error !== undefined) {
        handlers.delete(id);
        reject(new Error(message.error));
      } else if (message.levels) {
        picture = new Picture(message);
      } else if (message.done) {
        handlers.delete(id);
      } else {
        picture.addTile(message);
        if (message.first) resolve(picture);
        onTile();
      }
    });
    worker.postMessage({ id, blob });
  });
}

/** Draw the part of a picture that lies in a clip rectangle of the canvas. */
export function drawPicture(context, picture, viewport, left, clip) {
  const { scale } = viewport;
  const coarsest = picture.levels.length - 1;
  const level = levelFor(picture, scale);
  context.imageSmoothingEnabled = scale < 3; // beyond that, pixels are meant to be seen
  context.imageSmoothingQuality = "low";
  // While tiles of the level are missing, coarser levels are drawn below them.
  const start = isComplete(picture.levels[level]) ? level : coarsest;
  for (let index = start; index >= level; index--) drawLevel(context, picture, index, viewport, left, clip);
}

/** Whether a picture is decoded as finely as a scale shows it. */
export function isSharp(picture, scale) {
  return picture.levels.length > 0 && isComplete(picture.levels[levelFor(picture, scale)]);
}

function levelFor({ levels }, scale) {
  let level = 0;
  while (level < levels.length - 1 && scale <= 0.5 ** (level + 1)) level++;
  return level;
}

function isComplete(level) {
  const rows = Math.ceil(level.height / level.tile);
  const columns = Math.ceil(level.width / level.tile);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) if (!level.tiles[row]?.[column]) return false;
  }
  return true;
}

function drawLevel(context, picture, index, viewport, left, clip) {
  const { width, height, tile, tiles } = picture.levels[index];
  // Sides are rounded at every halving: each level has its own exact factor.
  const [fx, fy] = [(viewport.scale * picture.width) / width, (viewport.scale * picture.height) / height];
  const [ox, oy] = [left + viewport.x, viewport.y];
  const first = (edge, origin, factor) => Math.max(0, Math.floor((edge - origin) / factor / tile));
  const last = (edge, origin, factor, size) => Math.min(Math.ceil(size / tile) - 1, Math.floor((edge - origin) / factor / tile));
  for (let row = first(clip.y, oy, fy); row <= last(clip.y + clip.height, oy, fy, height); row++) {
    for (let column = first(clip.x, ox, fx); column <= last(clip.x + clip.width, ox, fx, width); column++) {
      const bitmap = tiles[row]?.[column];
      if (!bitmap) continue;
      // Edges on whole pixels, so that no seam shows between neighbours.
      const x0 = Math.round(ox + column * tile * fx);
      const y0 = Math.round(oy + row * tile * fy);
      const x1 = Math.round(ox + (column * tile + bitmap.width) * fx);
      const y1 = Math.round(oy + (row * tile + bitmap.height) * fy);
      context.drawImage(bitmap, x0, y0, x1 - x0, y1 - y0);
    }
  }
}
