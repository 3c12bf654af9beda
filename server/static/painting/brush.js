// Brush and eraser: lines with round ends and smooth edges.
//
// A tool gets points of the photo: `down` at the first, `move` at each further one, `up` at the
// end; `cancel` takes the shape back. rectangle.js and lasso.js have the same four methods.

import { mergeCoverage } from "./mask.js";
import { TILE } from "./tiles.js";

export class Brush {
  /**
   * @param history steps for undo
   * @param masks function (erase) that returns the masks to change: [mask, whether to erase from it]
   * @param radius function that returns the radius, px of the photo
   * @param erases whether this is the eraser
   */
  constructor({ history, masks, radius, erases }) {
    Object.assign(this, { history, masks, radius, erases });
  }

  /**
   * @param alternative draw with the opposite tool: Alt, the right button, a pen's other end
   * @param straight draw a line from the end of the last stroke: Shift
   */
  down(point, { alternative, straight = false }) {
    this.history.begin();
    this.erase = this.erases !== alternative;
    this.before = this.last;
    if (!straight || !this.last) this.last = point;
    this.move(point);
  }

  move(point) {
    for (const [mask, erase] of this.masks(this.erase)) paintLine(mask, this.last, point, this.radius(), erase);
    this.last = point;
  }

  up() {
    this.history.commit();
  }

  cancel() {
    this.last = this.before;
    this.history.rollBack();
  }
}

/** Paint a line with round ends. */
function paintLine(mask, a, b, radius, erase) {
  const rectangle = {
    left: Math.min(a.x, b.x) - radius - 1, top: Math.min(a.y, b.y) - radius - 1,
    right: Math.max(a.x, b.x) + radius + 1, bottom: Math.max(a.y, b.y) + radius + 1,
  };
  const paintTile = (data, x, y, part) => {
    for (let row = part.top; row < part.bottom; row++) {
      const outer = spanOfRow(row + 0.5, a, b, radius + 0.5);
      if (!outer) continue;
      const from = Math.max(part.left, Math.floor(outer[0] - 0.5));
      const to = Math.min(part.right, Math.ceil(outer[1] + 0.5));
      if (from >= to) continue;
      const start = (row - y) * TILE - x;
      // Pixels of the inner span are covered completely; only the others need a distance.
      const inner = radius > 0.5 ? spanOfRow(row + 0.5, a, b, radius - 0.5) : null;
      const full = inner ? Math.min(to, Math.max(from, Math.ceil(inner[0] - 0.5))) : to;
      const rest = inner ? Math.max(full, Math.min(to, Math.floor(inner[1] - 0.5) + 1)) : to;
      for (let column = from; column < full; column++) paintEdge(data, start, column, row);
      if (full < rest) data.fill(erase ? 0 : 255, start + full, start + rest);
      for (let column = rest; column < to; column++) paintEdge(data, start, column, row);
    }
  };
  const paintEdge = (data, start, column, row) => {
    const distance = distanceToLine(column + 0.5, row + 0.5, a, b);
    const coverage = Math.round(255 * Math.min(1, Math.max(0, radius + 0.5 - distance)));
    if (coverage) mergeCoverage(data, start + column, coverage, erase);
  };
  mask.change(rectangle, paintTile, { create: !erase });
}

/** The part of a row within `reach` of a line: [left, right], or null. The shape is convex. */
function spanOfRow(y, a, b, reach) {
  let [low, high] = [Infinity, -Infinity];
  const include = (x) => {
    if (x < low) low = x;
    if (x > high) high = x;
  };
  for (const point of [a, b]) {
    const square = reach * reach - (y - point.y) ** 2;
    if (square >= 0) {
      include(point.x - Math.sqrt(square));
      include(point.x + Math.sqrt(square));
    }
  }
  const length = Math.hypot(b.x - a.x, b.y - a.y);
  if (length > 0) {
    const [nx, ny] = [(-(b.y - a.y) / length) * reach, ((b.x - a.x) / length) * reach];
    for (const side of [1, -1]) {
      const [y0, y1] = [a.y + side * ny, b.y + side * ny];
      if ((y - y0) * (y - y1) <= 0 && y0 !== y1) include(a.x + side * nx + ((y - y0) / (y1 - y0)) * (b.x - a.x));
    }
  }
  return low <= high ? [low, high] : null;
}

function distanceToLine(x, y, a, b) {
  const [dx, dy] = [b.x - a.x, b.y - a.y];
  const square = dx * dx + dy * dy;
  const along = square ? Math.min(1, Math.max(0, ((x - a.x) * dx + (y - a.y) * dy) / square)) : 0;
  return Math.hypot(x - a.x - along * dx, y - a.y - along * dy);
}
