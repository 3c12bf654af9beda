// Zoom and position of the photo in a pane: screen = scale * image + offset, in device pixels.

const MOST_SCALE = 32;

export class Viewport {
  scale = 1;
  x = 0;
  y = 0;
  #image = { width: 1, height: 1 };
  #pane = { width: 1, height: 1 };
  #fitted = true;

  /** Take the size of another image and fit it. */
  setImage(width, height) {
    this.#image = { width, height };
    this.fit();
  }

  /** Take the size of the pane; the centre of the view stays. */
  setPane(width, height, margin) {
    const old = this.#pane;
    this.#pane = { width: Math.max(1, width), height: Math.max(1, height), margin };
    if (this.#fitted) return this.fit();
    this.x += (this.#pane.width - old.width) / 2;
    this.y += (this.#pane.height - old.height) / 2;
    this.#keepVisible();
  }

  get fittingScale() {
    const { width, height, margin = {} } = this.#pane;
    const across = width - 2 * (margin.x ?? 0);
    const down = height - (margin.top ?? 0) - (margin.bottom ?? 0);
    const fit = Math.min(across / this.#image.width, down / this.#image.height);
    return Math.min(Math.max(fit, 1e-4), 8);
  }

  fit() {
    const { width, height, margin = {} } = this.#pane;
    const [top, bottom] = [margin.top ?? 0, margin.bottom ?? 0];
    this.scale = this.fittingScale;
    this.x = (width - this.scale * this.#image.width) / 2;
    this.y = top + (height - top - bottom - this.scale * this.#image.height) / 2;
    this.#fitted = true;
  }

  /** Zoom about the point (x, y) of the pane. */
  zoomAt(x, y, factor) {
    const least = Math.min(this.fittingScale / 2, 1);
    const scale = Math.min(Math.max(this.scale * factor, least), MOST_SCALE);
    this.x = x - ((x - this.x) * scale) / this.scale;
    this.y = y - ((y - this.y) * scale) / this.scale;
    this.scale = scale;
    this.#fitted = false;
    this.#keepVisible();
  }

  zoomBy(factor) {
    this.zoomAt(this.#pane.width / 2, this.#pane.height / 2, factor);
  }

  panBy(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.#fitted = false;
    this.#keepVisible();
  }

  toImage(x, y) {
    return { x: (x - this.x) / this.scale, y: (y - this.y) / this.scale };
  }

  toPane(x, y) {
    return { x: x * this.scale + this.x, y: y * this.scale + this.y };
  }

  /** Move the photo just far enough to show one of its points; true if it moved. */
  reveal(x, y, margin) {
    const at = this.toPane(x, y);
    const { width, height } = this.#pane;
    const dx = Math.max(margin - at.x, 0) + Math.min(width - margin - at.x, 0);
    const dy = Math.max(margin - at.y, 0) + Math.min(height - margin - at.y, 0);
    if (dx || dy) this.panBy(dx, dy);
    return Boolean(dx || dy);
  }

  /** Keep a part of the photo visible. */
  #keepVisible() {
    const { width, height } = this.#pane;
    const [w, h] = [this.scale * this.#image.width, this.scale * this.#image.height];
    const visible = (size) => Math.min(80, size / 2);
    this.x = Math.min(Math.max(this.x, visible(w) - w), width - visible(w));
    this.y = Math.min(Math.max(this.y, visible(h) - h), height - visible(h));
  }
}
