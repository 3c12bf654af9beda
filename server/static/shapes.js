// What tools leave in a mask: each shape as coverage of pixels, 0 to 255, with smooth edges.

import { TILE } from "./mask.js";

/** Merge coverage into a mask: painting takes the larger, erasing leaves the rest. */
const merge = (data, index, coverage, erase) => {
  if (erase) data[index] = Math.min(data[index], 255 - coverage);
  else if (coverage > data[index]) data[index] = coverage;
};

/** Paint the way of a round brush from one point to another. */
export function paintLine(mask, a, b, radius, erase) {
  const rectangle = {
    left: Math.min(a.x, b.x) - radius - 1, top: Math.min(a.y, b.y) - radius - 1,
    right: Math.max(a.x, b.x) + radius + 1, bottom: Math.max(a.y, b.y) + radius + 1,
  };
  const paint = (data, x, y, part) => {
    for (let line = part.top; line < part.bottom; line++) {
      const outer = spanOfLine(line + 0.5, a, b, radius + 0.5);
      if (!outer) continue;
      const from = Math.max(part.left, Math.floor(outer[0] - 0.5));
      const to = Math.min(part.right, Math.ceil(outer[1] + 0.5));
      if (from >= to) continue;
      const start = (line - y) * TILE - x;
      // Between these, pixels are covered wholly; only those beside need a closer look.
      const inner = radius > 0.5 ? spanOfLine(line + 0.5, a, b, radius - 0.5) : null;
      const full = inner ? Math.min(to, Math.max(from, Math.ceil(inner[0] - 0.5))) : to;
      const rest = inner ? Math.max(full, Math.min(to, Math.floor(inner[1] - 0.5) + 1)) : to;
      for (let column = from; column < full; column++) edge(data, start, column, line);
      if (full < rest) data.fill(erase ? 0 : 255, start + full, start + rest);
      for (let column = rest; column < to; column++) edge(data, start, column, line);
    }
  };
  const edge = (data, start, column, line) => {
    const distance = distanceToLine(column + 0.5, line + 0.5, a, b);
    const coverage = Math.round(255 * Math.min(1, Math.max(0, radius + 0.5 - distance)));
    if (coverage) merge(data, start + column, coverage, erase);
  };
  mask.change(rectangle, paint, { create: !erase });
}

/** Where a row crosses what is within `reach` of a line; convex, so one span, or null. */
function spanOfLine(y, a, b, reach) {
  let low = Infinity, high = -Infinity;
  const include = (x) => {
    if (x < low) low = x;
    if (x > high) high = x;
  };
  for (const point of [a, b]) {
    const rest = reach * reach - (y - point.y) ** 2;
    if (rest >= 0) {
      include(point.x - Math.sqrt(rest));
      include(point.x + Math.sqrt(rest));
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
  const part = square ? Math.min(1, Math.max(0, ((x - a.x) * dx + (y - a.y) * dy) / square)) : 0;
  return Math.hypot(x - a.x - part * dx, y - a.y - part * dy);
}

/** Fill a rectangle between two corners, on whole pixels. */
export function fillRectangle(mask, a, b, erase) {
  const rectangle = {
    left: Math.round(Math.min(a.x, b.x)), top: Math.round(Math.min(a.y, b.y)),
    right: Math.round(Math.max(a.x, b.x)), bottom: Math.round(Math.max(a.y, b.y)),
  };
  const fill = (data, x, y, part) => {
    for (let line = part.top; line < part.bottom; line++) {
      const start = (line - y) * TILE - x;
      data.fill(erase ? 0 : 255, start + part.left, start + part.right);
    }
  };
  mask.change(rectangle, fill, { create: !erase });
}

let scratch;

/** Fill the inside of a closed line. */
export function fillOutline(mask, points, erase) {
  const [xs, ys] = [points.map((point) => point.x), points.map((point) => point.y)];
  const least = (values) => values.reduce((a, b) => Math.min(a, b));
  const most = (values) => values.reduce((a, b) => Math.max(a, b));
  const rectangle = { left: least(xs) - 1, top: least(ys) - 1, right: most(xs) + 1, bottom: most(ys) + 1 };
  scratch ??= new OffscreenCanvas(TILE, TILE).getContext("2d", { willReadFrequently: true });
  const fill = (data, x, y, part) => {
    scratch.clearRect(0, 0, TILE, TILE);
    scratch.beginPath();
    for (const point of points) scratch.lineTo(point.x - x, point.y - y);
    scratch.fill("nonzero");
    const [width, height] = [part.right - part.left, part.bottom - part.top];
    const drawn = scratch.getImageData(part.left - x, part.top - y, width, height).data;
    for (let line = 0, from = 3; line < height; line++) {
      let to = (part.top - y + line) * TILE + part.left - x;
      for (let column = 0; column < width; column++, from += 4, to++) if (drawn[from]) merge(data, to, drawn[from], erase);
    }
  };
  mask.change(rectangle, fill, { create: !erase });
}
