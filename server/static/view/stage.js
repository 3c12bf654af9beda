// The stage: draws the photo, the mask over it, and outlines over both. It has one pane, or two
// side by side that move together. Only changed layers are redrawn, once per frame.

import { drawPicture } from "./picture.js";
import { Viewport } from "./viewport.js";

const GAP = 6;
const MASK_MS = 24; // for changed tiles of the mask in one frame
const NARROW = matchMedia("(max-width: 940px)"); // as in page.css: nothing lies over the photo there
const COARSE = matchMedia("(pointer: coarse)"); // as in controls.css: buttons are larger

export class Stage {
  viewport = new Viewport();
  panes = []; // { before, after, previews: Map, label }
  masks = [];
  peeks = false; // whether only the photo as it was is shown
  split = 0.5; // where `after` begins, as a share of the pane's width
  onView = () => {};
  onMasksShown = () => {}; // all changes of the masks are drawn
  #dirty = { photo: false, mask: null, outlines: false };
  #outline = null;
  #pen = null;
  #scheduled = false;

  constructor(element) {
    this.element = element;
    const context = (name, options) => element.querySelector(`#${name}-layer`).getContext("2d", options);
    this.photo = context("photo", { alpha: true });
    this.mask = context("mask");
    this.outlines = context("outlines");
    new ResizeObserver(() => this.#resize()).observe(element);
    this.#resize();
  }

  /** Show panes: pictures of one size, side by side. */
  show(panes, { masks = [], keepView = false } = {}) {
    const first = panes[0]?.before;
    const same = keepView && first && first.width === this.size?.width && first.height === this.size?.height;
    this.panes = panes;
    this.masks = masks;
    this.size = first ? { width: first.width, height: first.height } : null;
    for (const mask of masks) mask.onChange = (area) => this.drawMask(area);
    this.#setPane();
    if (first && !same) this.viewport.setImage(first.width, first.height);
    this.redraw();
  }

  get ratio() {
    return window.devicePixelRatio || 1;
  }

  get width() {
    return this.photo.canvas.width;
  }

  get height() {
    return this.photo.canvas.height;
  }

  /** The rectangle of each pane, in device pixels of the canvas. */
  get places() {
    const count = Math.max(1, this.panes.length);
    const width = (this.width - GAP * (count - 1)) / count;
    return Array.from({ length: count }, (_, index) => {
      const x = Math.round(index * (width + GAP));
      return { x, y: 0, width: Math.round(index * (width + GAP) + width) - x, height: this.height };
    });
  }

  /** Convert a position in the window to device pixels of its pane. */
  toPane(clientX, clientY) {
    const box = this.element.getBoundingClientRect();
    const [x, y] = [(clientX - box.left) * this.ratio, (clientY - box.top) * this.ratio];
    const place = this.places.findLast((each) => x >= each.x) ?? this.places[0];
    return { x: x - place.x, y, left: place.x };
  }

  toImage(clientX, clientY) {
    const at = this.toPane(clientX, clientY);
    return this.viewport.toImage(at.x, at.y);
  }

  /** Redraw all layers: the view has changed. */
  redraw() {
    this.#dirty = { photo: true, mask: this.#everything, outlines: true };
    this.#schedule();
    this.onView();
  }

  drawPhoto() {
    this.#dirty.photo = true;
    this.#schedule();
  }

  /** Redraw a rectangle of the mask, given in image pixels. */
  drawMask({ left, top, right, bottom }) {
    const [a, b] = [this.viewport.toPane(left, top), this.viewport.toPane(right, bottom)];
    const area = { x0: Math.floor(a.x) - 2, y0: Math.floor(a.y) - 2, x1: Math.ceil(b.x) + 2, y1: Math.ceil(b.y) + 2 };
    const old = this.#dirty.mask ?? area;
    this.#dirty.mask = {
      x0: Math.min(old.x0, area.x0), y0: Math.min(old.y0, area.y0),
      x1: Math.max(old.x1, area.x1), y1: Math.max(old.y1, area.y1),
    };
    this.#schedule();
  }

  /** Show the outline of a shape being drawn, as points of the image; null removes it. */
  setOutline(points) {
    this.#outline = points;
    this.#dirty.outlines = true;
    this.#schedule();
  }

  /** Show the keyboard pen: { x, y, radius, down }; null removes it. */
  setPen(pen) {
    this.#pen = pen;
    this.#dirty.outlines = true;
    this.#schedule();
  }

  setSplit(share) {
    this.split = Math.min(1, Math.max(0, share));
    this.drawPhoto();
    this.onView();
  }

  /** Show the photo as it was, without mask, result or previews; or all of it again. */
  setPeek(peeks) {
    this.peeks = peeks;
    this.drawPhoto();
    this.drawMask(this.#image);
  }

  zoomAt(clientX, clientY, factor) {
    const at = this.toPane(clientX, clientY);
    this.viewport.zoomAt(at.x, at.y, factor);
    this.redraw();
  }

  panBy(dx, dy) {
    this.viewport.panBy(dx * this.ratio, dy * this.ratio);
    this.redraw();
  }

  get #image() {
    return { left: 0, top: 0, right: this.size?.width ?? 0, bottom: this.size?.height ?? 0 };
  }

  #everything = { x0: -Infinity, y0: -Infinity, x1: Infinity, y1: Infinity };

  #resize() {
    const { width, height } = this.element.getBoundingClientRect();
    for (const { canvas } of [this.photo, this.mask, this.outlines]) {
      canvas.width = Math.max(1, Math.round(width * this.ratio));
      canvas.height = Math.max(1, Math.round(height * this.ratio));
    }
    this.#setPane();
    this.redraw();
  }

  #setPane() {
    const { width, height } = this.places[0];
    const margin = { x: 24 * this.ratio, top: (NARROW.matches ? 20 : 68) * this.ratio, bottom: (COARSE.matches ? 72 : 60) * this.ratio };
    this.viewport.setPane(width, height, margin);
  }

  #schedule() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    requestAnimationFrame(() => {
      this.#scheduled = false;
      const dirty = this.#dirty;
      this.#dirty = { photo: false, mask: null, outlines: false };
      if (dirty.photo) this.#drawPhotos();
      if (dirty.mask) this.#drawMasks(dirty.mask);
      if (dirty.outlines) this.#drawOutlines();
    });
  }

  #drawPhotos() {
    const context = this.photo;
    context.clearRect(0, 0, this.width, this.height);
    this.places.forEach((place, index) => {
      const pane = this.panes[index];
      if (!pane) return;
      const border = place.x + Math.round(this.split * place.width);
      const parts = pane.after && !this.peeks
        ? [[pane.before, place.x, border, false], [pane.after, border, place.x + place.width, false]]
        : [[pane.before, place.x, place.x + place.width, true]];
      for (const [picture, from, to, live] of parts) {
        if (from >= to) continue;
        const clip = { x: from, y: 0, width: to - from, height: this.height };
        context.save();
        context.beginPath();
        context.rect(clip.x, clip.y, clip.width, clip.height);
        context.clip();
        if (picture.transparent) this.#drawChecks(picture, place.x);
        drawPicture(context, picture, this.viewport, place.x, clip);
        if (live && !this.peeks) for (const preview of pane.previews?.values() ?? []) this.#drawPreview(preview, place.x);
        context.restore();
      }
    });
  }

  #drawPreview({ bitmap, left, top, width, height }, x) {
    const [a, b] = [this.viewport.toPane(left, top), this.viewport.toPane(left + width, top + height)];
    this.photo.imageSmoothingEnabled = true;
    this.photo.drawImage(bitmap, x + a.x, a.y, b.x - a.x, b.y - a.y);
  }

  /** Draw a checkerboard below a transparent photo. */
  #drawChecks(picture, x) {
    if (!this.checks) {
      const tile = new OffscreenCanvas(24, 24);
      const context = tile.getContext("2d");
      context.fillStyle = "#8a8a8a";
      context.fillRect(0, 0, 24, 24);
      context.fillStyle = "#b5b5b5";
      context.fillRect(0, 0, 12, 12);
      context.fillRect(12, 12, 12, 12);
      this.checks = this.photo.createPattern(tile, "repeat");
    }
    const [a, b] = [this.viewport.toPane(0, 0), this.viewport.toPane(picture.width, picture.height)];
    this.photo.fillStyle = this.checks;
    this.photo.fillRect(x + a.x, a.y, b.x - a.x, b.y - a.y);
  }

  #drawMasks({ x0, y0, x1, y1 }) {
    const context = this.mask;
    let waits = false;
    const until = performance.now() + MASK_MS;
    for (const place of this.places) {
      const left = Math.max(place.x, place.x + x0);
      const top = Math.max(0, y0);
      const clip = { x: left, y: top, width: Math.min(place.x + place.width, place.x + x1) - left, height: Math.min(this.height, y1) - top };
      if (clip.width <= 0 || clip.height <= 0) continue;
      context.save();
      context.beginPath();
      context.rect(clip.x, clip.y, clip.width, clip.height);
      context.clip();
      context.clearRect(clip.x, clip.y, clip.width, clip.height);
      const waiting = this.peeks ? [] : this.masks.map((mask) => mask.draw(context, this.viewport, place.x, clip, until));
      waits ||= waiting.includes(true);
      context.restore();
    }
    if (waits) this.drawMask(this.#image); // in the next frame
    else this.onMasksShown();
  }

  #drawOutlines() {
    const context = this.outlines;
    context.clearRect(0, 0, this.width, this.height);
    const lines = [["#000b", 3], ["#fff", 1.25]];
    const stroke = () => {
      for (const [colour, width] of lines) {
        context.strokeStyle = colour;
        context.lineWidth = width * this.ratio;
        context.stroke();
      }
    };
    if (this.#outline?.length) {
      context.beginPath();
      for (const point of this.#outline) {
        const at = this.viewport.toPane(point.x, point.y);
        context.lineTo(at.x, at.y);
      }
      context.closePath();
      stroke();
    }
    if (this.#pen) {
      const at = this.viewport.toPane(this.#pen.x, this.#pen.y);
      const radius = Math.max(4 * this.ratio, this.#pen.radius * this.viewport.scale);
      context.beginPath();
      context.arc(at.x, at.y, radius, 0, 2 * Math.PI);
      if (this.#pen.down) {
        context.fillStyle = "#fff5";
        context.fill();
      }
      for (const [dx, dy] of [[1, 0], [0, 1]]) {
        const arm = radius + 8 * this.ratio;
        context.moveTo(at.x - dx * arm, at.y - dy * arm);
        context.lineTo(at.x + dx * arm, at.y + dy * arm);
      }
      stroke();
    }
  }
}
