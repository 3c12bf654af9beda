// A photo as it is drawn: tiles at full size, half, a quarter and so on, so that a redraw costs
// what the screen has of pixels, not what the photo has. Decoded in a worker.

const worker = new Worker(new URL("./picture-worker.js", import.meta.url), { type: "module" });
const waiting = new Map();
let count = 0;

worker.onmessage = ({ data }) => waiting.get(data.id)?.(data);

export class Picture {
  levels = []; // { width, height, tile, tiles: ImageBitmap[][] }, the finest first
  complete = Promise.resolve(this);
  #closed = false;

  constructor(width, height, transparent) {
    Object.assign(this, { width, height, transparent });
  }

  take({ level, column, row, bitmap }) {
    if (this.#closed) return bitmap.close();
    (this.levels[level].tiles[row] ??= [])[column] = bitmap;
  }

  /** Give the memory back. */
  close() {
    this.#closed = true;
    for (const { tiles } of this.levels) for (const row of tiles) for (const tile of row ?? []) tile?.close();
    this.levels = [];
  }
}

/**
 * Open a picture that the browser can decode. It can be drawn when this returns, and gets sharper
 * as more tiles come; `onTile` is called for each.
 */
export function openPicture(blob, onTile = () => {}) {
  return new Promise((resolve, reject) => {
    const id = ++count;
    let picture, finish;
    waiting.set(id, (news) => {
      if (news.error !== undefined) {
        waiting.delete(id);
        reject(new Error(news.error));
      } else if (news.levels) {
        picture = new Picture(news.width, news.height, news.transparent);
        picture.levels = news.levels.map((level) => ({ ...level, tiles: [] }));
        picture.complete = new Promise((done) => (finish = done));
      } else if (news.done) {
        waiting.delete(id);
        finish(picture);
      } else {
        picture.take(news);
        if (news.first) resolve(picture);
        onTile(picture);
      }
    });
    worker.postMessage({ id, blob });
  });
}

/** Draw the part of a picture that is in a clip of the canvas, sharp at every scale. */
export function drawPicture(context, picture, viewport, left, clip) {
  const { scale } = viewport;
  const ends = picture.levels.length - 1;
  let wanted = 0;
  while (wanted < ends && scale <= 0.5 ** (wanted + 1)) wanted++;
  context.imageSmoothingEnabled = scale < 3; // beyond that, pixels are meant to be seen
  context.imageSmoothingQuality = "low";
  // What is there of the coarser levels first, where the wanted one is not complete yet.
  const complete = isComplete(picture.levels[wanted]);
  for (let index = complete ? wanted : ends; index >= wanted; index--) {
    drawLevel(context, picture, index, viewport, left, clip);
  }
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
  const from = (edge, origin, factor) => Math.max(0, Math.floor((edge - origin) / factor / tile));
  const to = (edge, origin, factor, size) => Math.min(Math.ceil(size / tile) - 1, Math.floor((edge - origin) / factor / tile));
  for (let row = from(clip.y, oy, fy); row <= to(clip.y + clip.height, oy, fy, height); row++) {
    for (let column = from(clip.x, ox, fx); column <= to(clip.x + clip.width, ox, fx, width); column++) {
      const bitmap = tiles[row]?.[column];
      if (!bitmap) continue;
      // Edges on whole pixels: neighbours leave no seam between them.
      const x0 = Math.round(ox + column * tile * fx);
      const y0 = Math.round(oy + row * tile * fy);
      const x1 = Math.round(ox + (column * tile + bitmap.width) * fx);
      const y1 = Math.round(oy + (row * tile + bitmap.height) * fy);
      context.drawImage(bitmap, x0, y0, x1 - x0, y1 - y0);
    }
  }
}
