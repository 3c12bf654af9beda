// Brush, eraser, rectangle, lasso: each takes points of the photo from `down` over `move` to `up`.

import { fillOutline, fillRectangle, paintLine } from "./shapes.js";

/**
 * The tool of a name.
 *
 * @param masks what is painted on first; an eraser takes from all of them
 * @param outline shows the outline of what is about to be filled
 */
export function makeTool(name, { history, masks, radius, outline }) {
  const painted = (erase) => (erase ? masks() : masks().slice(0, 1));
  if (name === "brush" || name === "eraser") return new Brush(history, painted, radius, name === "eraser");
  if (name === "rectangle") return new Rectangle(history, painted, outline);
  if (name === "lasso") return new Lasso(history, painted, outline);
  return null;
}

class Brush {
  constructor(history, painted, radius, erases) {
    Object.assign(this, { history, painted, radius, erases });
  }

  down(point, { alternative }) {
    this.history.begin();
    this.erase = this.erases !== alternative;
    this.last = point;
    this.move(point);
  }

  move(point) {
    for (const mask of this.painted(this.erase)) paintLine(mask, this.last, point, this.radius(), this.erase);
    this.last = point;
  }

  up() {
    this.history.commit();
  }

  cancel() {
    this.history.rollBack();
  }
}

class Rectangle {
  constructor(history, painted, outline) {
    Object.assign(this, { history, painted, outline });
  }

  down(point, { alternative }) {
    this.from = this.to = point;
    this.erase = alternative;
  }

  move(point) {
    this.to = point;
    const [a, b] = [this.from, point];
    this.outline([a, { x: b.x, y: a.y }, b, { x: a.x, y: b.y }]);
  }

  up() {
    this.outline(null);
    this.history.step(() => {
      for (const mask of this.painted(this.erase)) fillRectangle(mask, this.from, this.to, this.erase);
    });
  }

  cancel() {
    this.outline(null);
  }
}

class Lasso {
  constructor(history, painted, outline) {
    Object.assign(this, { history, painted, outline });
  }

  down(point, { alternative }) {
    this.points = [point];
    this.erase = alternative;
  }

  move(point) {
    this.points.push(point);
    this.outline(this.points);
  }

  up() {
    this.outline(null);
    if (this.points.length < 3) return;
    this.history.step(() => {
      for (const mask of this.painted(this.erase)) fillOutline(mask, this.points, this.erase);
    });
  }

  cancel() {
    this.outline(null);
  }
}
