// The open photo: its file, its picture, and the masks painted on it.

import { Mask } from "../painting/mask.js";
import { runMaskTask, tilesOf } from "../painting/mask-tasks.js";
import { UndoHistory } from "../painting/undo.js";
import { number, text } from "../page/texts.js";
import { convertForDisplay } from "../service/api.js";

const ONE_DIGIT = { minimumFractionDigits: 1, maximumFractionDigits: 1 };
const MEASURE_AFTER_MS = 120;

export class Photo {
  jobs = new Map(); // the masks of the jobs made from it, as packed tiles, by id
  usesTransparency = false;
  history = new UndoHistory();
  measures = null; // of all marks: { pixels, places, around }; null while they are being measured
  onMeasured = () => {};
  #transparencyMask = null;
  #grownBy = 0;
  #measuring = null;

  /**
   * @param file as the user chose it
   * @param blob the same picture in a format that browsers decode
   * @param depth of its samples, in words
   * @param colours of the masks: { mask, suggestion }, each [red, green, blue]
   */
  constructor({ file, name, picture, blob, depth, colours }) {
    Object.assign(this, { file, name, picture, blob, depth });
    this.mask = new Mask(picture.width, picture.height, colours.mask);
    this.suggestion = new Mask(picture.width, picture.height, colours.suggestion);
    this.dropped = new Mask(picture.width, picture.height, colours.mask); // found damage that is none
    for (const mask of [this.mask, this.suggestion, this.dropped]) this.history.watch(mask);
  }

  /** Name, size and depth, for the top of the page. */
  get description() {
    const { width, height } = this.picture;
    const megapixels = text("megapixels", { count: number((width * height) / 1e6, ONE_DIGIT) });
    return [this.name, `${width} × ${height}`, megapixels, this.depth].filter(Boolean).join(" · ");
  }

  /** The masks to draw over the photo. */
  get shownMasks() {
    return this.usesTransparency ? [this.#transparencyMask] : [this.mask, this.suggestion];
  }

  /** Whether any damage is marked or found. */
  get hasDamage() {
    return this.usesTransparency || !this.mask.empty || !this.suggestion.empty;
  }

  /** The share of the photo that is marked or found, in [0, 1], as far as it has been measured. */
  get share() {
    return (this.measures?.pixels ?? 0) / (this.picture.width * this.picture.height);
  }

  /** Show the masks in other colours. */
  recolour({ mask, suggestion }) {
    this.mask.recolour(mask);
    this.suggestion.recolour(suggestion);
    this.#transparencyMask?.recolour(mask);
  }

  /** Measure the marks, some time after the last call. */
  measure() {
    this.measures = null;
    clearTimeout(this.#measuring);
    this.#measuring = setTimeout(() => this.measureNow(), MEASURE_AFTER_MS);
  }

  /** Measure the marks at once. */
  async measureNow() {
    const { revision } = this.history;
    const measures = await this.#runTask("measure", { lists: [this.mask.list, this.suggestion.list] });
    if (revision !== this.history.revision) return;
    this.measures = measures;
    this.onMeasured();
  }

  /** Take the transparent pixels as the damage, or the painted mask again. */
  async useTransparency(uses) {
    if (uses && !this.#transparencyMask) {
      const { width, height } = this.picture;
      const mask = new Mask(width, height, this.mask.colour);
      mask.replace(await this.#runTask("fromTransparency", { blob: this.blob }));
      this.#transparencyMask = mask;
    }
    this.usesTransparency = uses;
  }

  /** Load a mask file (white = restore), read by the service as a job would read it. */
  async loadMask(file) {
    const { blob } = await convertForDisplay(file, "mask");
    this.#replaceMask(await this.tilesOf(blob));
  }

  /** Take the mask of an earlier job, without a step for undo. */
  async takeMask(blob) {
    this.mask.replace(await this.tilesOf(blob));
  }

  /** A gray picture of the photo's size as packed tiles. */
  tilesOf(blob) {
    return tilesOf(blob, this.picture);
  }

  /** Grow the mask by one pixel, or shrink it. A cross and a square in turn make an octagon, nearly a disc. */
  async growMask({ shrink = false } = {}) {
    if (this.mask.empty) return;
    const before = this.#grownBy;
    this.#grownBy += shrink ? -1 : 1;
    const square = Math.min(before, this.#grownBy) % 2 !== 0; // shrinking takes the element of the growth
    this.#replaceMask(await this.#runTask("grow", { tiles: this.mask.list, shrink, square }));
  }

  /** Exchange marked and unmarked pixels. */
  async invertMask() {
    this.#replaceMask(await this.#runTask("invert", { tiles: this.mask.list }));
  }

  /** Add the found damage to the mask. */
  async acceptSuggestion() {
    const joined = await this.#runTask("join", { lists: [this.mask.list, this.suggestion.list] });
    this.history.step(() => {
      this.mask.replace(joined);
      this.suggestion.clear();
    });
  }

  /** The marks that a job did not get, as packed tiles: { mask, suggestion }. */
  async marksBeside(jobId) {
    const minus = this.jobs.get(jobId) ?? [];
    const rest = (mask) => this.#runTask("subtract", { tiles: mask.list, minus });
    return { mask: await rest(this.mask), suggestion: await rest(this.suggestion) };
  }

  /** The mask as a PNG file, or null while transparency is used. */
  async encodeMask() {
    return this.usesTransparency ? null : this.#runTask("encode", { tiles: this.mask.list });
  }

  close() {
    clearTimeout(this.#measuring);
    this.picture.close();
  }

  #replaceMask(tiles) {
    this.history.step(() => this.mask.replace(tiles));
  }

  #runTask(task, given) {
    return runMaskTask(task, this.picture, given);
  }
}
