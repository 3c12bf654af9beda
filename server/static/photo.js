// A photo being worked on: the file as it came, a picture of it, and what is painted on it.

import { display } from "./api.js";
import { History } from "./history.js";
import { maskHelper } from "./helpers.js";
import { Mask } from "./mask.js";
import { openPicture } from "./picture.js";

const DEPTHS = { uint8: "8 bit", uint16: "16 bit", float32: "32-bit float" };

export class Photo {
  usesTransparency = false;
  history = new History();

  constructor({ file, name, picture, blob, depth, colours }) {
    Object.assign(this, { file, name, picture, blob, depth });
    this.mask = new Mask(picture.width, picture.height, colours.mask);
    this.suggestion = new Mask(picture.width, picture.height, colours.suggestion);
    this.holes = null; // the mask that transparency makes
    this.history.watch(this.mask);
    this.history.watch(this.suggestion);
  }

  get about() {
    const { width, height } = this.picture;
    return [this.name, `${width} × ${height}`, `${((width * height) / 1e6).toFixed(1)} MP`, this.depth].filter(Boolean).join(" · ");
  }

  /** The masks that are shown. */
  get shown() {
    return this.usesTransparency ? [this.holes] : [this.mask, this.suggestion];
  }

  get ready() {
    return this.usesTransparency || !this.mask.empty;
  }

  async useTransparency(uses) {
    const { width, height } = this.picture;
    if (uses && !this.holes) {
      const holes = new Mask(width, height, this.mask.colour);
      const { answer } = await maskHelper.ask({ what: "holes", blob: this.blob, width, height });
      holes.write({ left: 0, top: 0, right: width, bottom: height }, answer);
      this.holes = holes;
    }
    this.usesTransparency = uses;
  }

  /** Load a mask: white = restore this. The service reads it, as it will read what is handed in. */
  async loadMask(file, { asStep = true } = {}) {
    const { blob } = await display(file, "mask");
    return this.takeMask(blob, asStep);
  }

  async takeMask(blob, asStep = true) {
    const { width, height } = this.picture;
    const { answer } = await maskHelper.ask({ what: "gray", blob, width, height });
    const load = () => this.mask.write({ left: 0, top: 0, right: width, bottom: height }, answer);
    if (asStep) this.history.step(load);
    else load();
  }

  /** Grow or shrink the mask by pixels. */
  async grow(px) {
    const area = this.mask.extent(Math.max(0, px) + 1);
    if (!area) return;
    const [width, height] = [area.right - area.left, area.bottom - area.top];
    const values = this.mask.read(area);
    const { answer } = await maskHelper.ask({ what: "grow", values, width, height, px }, [values.buffer]);
    this.history.step(() => this.mask.write(area, answer));
  }

  /** The mask as a file, or null where transparency is used. */
  async encodeMask() {
    if (this.usesTransparency) return null;
    const { width, height } = this.picture;
    const values = this.mask.read({ left: 0, top: 0, right: width, bottom: height });
    return (await maskHelper.ask({ what: "encode", values, width, height }, [values.buffer])).answer;
  }

  close() {
    this.picture.close();
  }
}

/** Open a file; the service makes a picture of what browsers cannot decode as it will be taken. */
export async function openPhoto(file, name, colours, onTile) {
  const start = new DataView(await file.slice(0, 64 * 1024).arrayBuffer());
  const own = decodableHere(start);
  const source = own ? { blob: typed(file, own.type), depth: own.depth } : await fromService(file);
  const picture = await openPicture(source.blob, onTile).catch(async (error) => {
    if (!own) throw error;
    Object.assign(source, await fromService(file)); // damaged: the service says in which way
    return openPicture(source.blob, onTile);
  });
  return new Photo({ file, name, picture, ...source, colours });
}

async function fromService(file) {
  const { blob, samples } = await display(file, "photo");
  return { blob, depth: DEPTHS[samples] };
}

/** A picture's type decides whether its transparency is looked at: not every file comes with one. */
const typed = (file, type) => (file.type === type ? file : new Blob([file], { type }));

/** JPEG; PNG and WebP but those that say which way is up, which not every browser obeys. */
export function decodableHere(start) {
  const text = (at, length) => {
    let letters = "";
    for (let index = at; index < Math.min(at + length, start.byteLength); index++) letters += String.fromCharCode(start.getUint8(index));
    return letters;
  };
  if (text(0, 3) === "\xff\xd8\xff") return { type: "image/jpeg", depth: "8 bit" };
  if (text(0, 8) === "\x89PNG\r\n\x1a\n") {
    for (let at = 8; at + 8 <= start.byteLength; ) {
      const name = text(at + 4, 4);
      if (name === "eXIf") return null;
      if (name === "IDAT") return { type: "image/png", depth: start.getUint8(24) === 16 ? "16 bit" : "8 bit" };
      at += 12 + start.getUint32(at);
    }
    return null;
  }
  if (text(0, 4) === "RIFF" && text(8, 4) === "WEBP") {
    const marked = text(12, 4) === "VP8X" && (start.getUint8(20) & 8) !== 0; // with EXIF
    return marked ? null : { type: "image/webp", depth: "8 bit" };
  }
  return null;
}
