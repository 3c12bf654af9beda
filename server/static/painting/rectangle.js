// The rectangle tool: fills whole pixels between two corners. Its methods: see brush.js.

import { TILE } from "./tiles.js";

export class Rectangle {
  /** @param showOutline shows the shape while it is drawn; null removes it */
  constructor({ history, masks, showOutline }) {
    Object.assign(this, { history, masks, showOutline });
  }

  down(point, { alternative }) {
    this.from = this.to = point;
    this.erase = alternative;
  }

  move(point) {
    this.to = point;
    const [a, b] = [this.from, point];
    this.showOutline([a, { x: b.x, y: a.y }, b, { x: a.x, y: b.y }]);
  }

  up() {
    this.showOutline(null);
    this.history.step(() => {
      for (const [mask, erase] of this.masks(this.erase)) fillRectangle(mask, this.from, this.to, erase);
    });
  }

  cancel() {
    this.showOutline(null);
  }
}

function fillRectangle(mask, a, b, erase) {
  const rectangle = {
    left: Math.round(Math.min(a.x, b.x)), top: Math.round(Math.min(a.y, b.y)),
    right: Math.round(Math.max(a.x, b.x)), bottom: Math.round(Math.max(a.y, b.y)),
  };
  const fillTile = (data, x, y, part) => {
    for (let row = part.top; row < part.bottom; row++) {
      const start = (row - y) * TILE - x;
      data.fill(erase ? 0 : 255, start + part.left, start + part.right);
    }
  };
  mask.change(rectangle, fillTile, { create: !erase });
}
