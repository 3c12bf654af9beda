// The brush while damage is being found: a click on a found mark drops it, a stroke adds to the mask.
// Its methods: see brush.js.

const STROKE_PX = 4; // on the screen: less is a click

export class FindBrush {
  /**
   * @param brush
   * @param drop function (point) whose promise says whether a mark was dropped
   * @param scale function that returns the zoom
   */
  constructor({ brush, drop, scale }) {
    Object.assign(this, { brush, drop, scale });
  }

  down(point, how) {
    [this.start, this.how, this.strokes] = [point, how, false];
    if (how.alternative || how.straight) this.#begin();
  }

  move(point) {
    if (!this.strokes && Math.hypot(point.x - this.start.x, point.y - this.start.y) * this.scale() >= STROKE_PX) this.#begin();
    if (this.strokes) this.brush.move(point);
  }

  async up() {
    if (this.strokes) return this.brush.up();
    if (await this.drop(this.start)) return;
    this.#begin();
    this.brush.up();
  }

  cancel() {
    if (this.strokes) this.brush.cancel();
  }

  #begin() {
    this.strokes = true;
    this.brush.down(this.start, this.how);
  }
}
