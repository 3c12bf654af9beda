// The open photo: its file, its picture, and the masks painted on it.

import { Mask } from "../painting/mask.js";
import { UndoHistory } from "../painting/undo.js";
import { WorkerClient } from "../page/worker-client.js";
import { convertForDisplay } from "../service/api.js";

const COLOURS = { mask: [255, 64, 58], suggestion: [30, 200, 245] };

const maskWorker = new WorkerClient(new URL("../painting/mask-worker.js", import.meta.url));

export class Photo {
  jobs = new Set(); // ids of the jobs made from it
  submittedRevision = null; // of the history, when a job was last submitted
  usesTransparency = false;
  history = new UndoHistory();
  #transparencyMask = null;
  #grownBy = 0;

  /**
   * @param file as the user chose it
   * @param blob the same picture in a format that browsers decode
   * @param depth of its samples, in words
   */
  constructor({ file, name, picture, blob, depth }) {
    Object.assign(this, { file, name, picture, blob, depth });
    this.mask = new Mask(picture.width, picture.height, COLOURS.mask);
    this.suggestion = new Mask(picture.width, picture.height, COLOURS.suggestion);
    this.history.watch(this.mask);
    this.history.watch(this.suggestion);
  }

  /** Name, size and depth, for the top of the page. */
  get description() {
    const { width, height } = this.picture;
    return [this.name, `${width} × ${height}`, `${((width * height) / 1e6).toFixed(1)} MP`, this.depth].filter(Boolean).join(" · ");
  }

  /** The masks to draw over the photo. */
  get shownMasks() {
    return this.usesTransparency ? [this.#transparencyMask] : [this.mask, this.suggestion];
  }

  /** Whether any damage is marked. */
  get hasDamage() {
    return this.usesTransparency || !this.mask.empty;
  }

  get hasUnsubmittedMask() {
    return !this.mask.empty && this.submittedRevision !== this.history.revision;
  }

  /** Take the transparent pixels as the damage, or the painted mask again. */
  async useTransparency(uses) {
    if (uses && !this.#transparencyMask) {
      const { width, height } = this.picture;
      const mask = new Mask(width, height, this.mask.colour);
      mask.write(this.#whole, await this.#runTask("fromTransparency", { blob: this.blob, width, height }));
      this.#transparencyMask = mask;
    }
    this.usesTransparency = uses;
  }

  /** Load a mask file (white = restore), read by the service as a job would read it. */
  async loadMask(file) {
    const { blob } = await convertForDisplay(file, "mask");
    const values = await this.#readMask(blob);
    this.history.step(() => this.mask.write(this.#whole, values));
  }

  /** Take the mask of an earlier job, without a step for undo. */
  async takeMask(blob) {
    this.mask.write(this.#whole, await this.#readMask(blob));
  }

  #readMask(blob) {
    const { width, height } = this.picture;
    return this.#runTask("fromGray", { blob, width, height });
  }

  /** Grow the mask by one pixel, or shrink it. A cross and a square in turn make an octagon, nearly a disc. */
  async growMask({ shrink = false } = {}) {
    const before = this.#grownBy;
    this.#grownBy += shrink ? -1 : 1;
    const square = Math.min(before, this.#grownBy) % 2 !== 0; // shrinking takes the element of the growth
    const area = this.mask.extent(2);
    if (!area) return;
    const [width, height] = [area.right - area.left, area.bottom - area.top];
    const values = this.mask.read(area);
    const grown = await this.#runTask("grow", { values, width, height, shrink, square }, [values.buffer]);
    this.history.step(() => this.mask.write(area, grown));
  }

  /** Mark what is not marked, and the other way round. */
  invertMask() {
    const values = this.mask.read(this.#whole).map((value) => 255 - value);
    this.history.step(() => this.mask.write(this.#whole, values));
  }

  /** The mask as a PNG file, or null while transparency is used. */
  async encodeMask() {
    if (this.usesTransparency) return null;
    const { width, height } = this.picture;
    const values = this.mask.read(this.#whole);
    return this.#runTask("encode", { values, width, height }, [values.buffer]);
  }

  close() {
    this.picture.close();
  }

  get #whole() {
    return { left: 0, top: 0, right: this.picture.width, bottom: this.picture.height };
  }

  async #runTask(task, given, transfer = []) {
    return (await maskWorker.ask({ task, ...given }, transfer)).result;
  }
}
