// The lasso: fills the inside of a line drawn by hand. Its methods: see brush.js.

import { mergeCoverage } from "./mask.js";
import { TILE } from "./tiles.js";

export class Lasso {
  /** @param showOutline shows the shape while it is drawn; null removes it */
  constructor({ history, masks, showOutline }) {
    Object.assign(this, { history, masks, showOutline });
  }

  down(point, { alternative }) {
    this.points = [point];
    this.erase = alternative;
  }

  move(point) {
    this.points.push(point);
    this.showOutline(this.points);
  }

  up() {
    this.showOutline(null);
    if (this.points.length < 3) return;
    this.history.step(() => {
      for (const [mask, erase] of this.masks(this.erase)) fillPolygon(mask, this.points, erase);
    });
  }

  cancel() {
    this.showOutline(null);
  }
}

let canvas;

/** Fill a polygon; a canvas computes the coverage of its edge. */
function fillPolygon(mask, points, erase) {
  const [xs, ys] = [points.map((point) => point.x), points.map((point) => point.y)];
  const least = (values) => values.reduce((a, b) => Math.min(a, b));
  const most = (values) => values.reduce((a, b) => Math.max(a, b));
  const rectangle = { left: least(xs) - 1, top: least(ys) - 1, right: most(xs) + 1, bottom: most(ys) + 1 };
  canvas ??= new OffscreenCanvas(TILE, TILE).getContext("2d", { willReadFrequently: true });
  const fillTile = (data, x, y, part) => {
    canvas.clearRect(0, 0, TILE, TILE);
    canvas.beginPath();
    for (const point of points) canvas.lineTo(point.x - x, point.y - y);
    canvas.fill("nonzero");
    const [width, height] = [part.right - part.left, part.bottom - part.top];
    const drawn = canvas.getImageData(part.left - x, part.top - y, width, height).data;
    for (let row = 0, from = 3; row < height; row++) {
      let to = (part.top - y + row) * TILE + part.left - x;
      for (let column = 0; column < width; column++, from += 4, to++) if (drawn[from]) mergeCoverage(data, to, drawn[from], erase);
    }
  };
  mask.change(rectangle, fillTile, { create: !erase });
}
