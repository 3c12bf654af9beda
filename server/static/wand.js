// The wand: suggests what may be damage, to be accepted, discarded, or painted over.

import { wandHelper } from "./helpers.js";
import { complain, element, say } from "./messages.js";

const SETTLES_MS = 120;

export class Wand {
  #timer = null;

  /** @param photo gives the photo being worked on */
  constructor(photo) {
    this.photo = photo;
    element("wand-width").oninput = () => this.#changed();
    element("wand-sensitivity").oninput = () => this.#changed();
    for (const radio of document.getElementsByName("wand-kind")) radio.onchange = () => this.#changed();
    element("wand-accept").onclick = () => this.accept();
    element("wand-discard").onclick = () => this.discard();
  }

  get pending() {
    return !this.photo()?.suggestion.empty;
  }

  #changed() {
    element("wand-width-shown").textContent = `${element("wand-width").value} px`;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.suggest(), SETTLES_MS);
  }

  /** A width that suits a photo: what is narrow grows with its size. */
  suit({ picture }) {
    const slider = element("wand-width");
    slider.value = String(Math.max(7, Math.round(Math.max(picture.width, picture.height) / 110)));
    element("wand-width-shown").textContent = `${slider.value} px`;
  }

  async suggest() {
    const photo = this.photo();
    if (!photo) return;
    const kind = [...document.getElementsByName("wand-kind")].find((radio) => radio.checked).value;
    const sensitivity = Number(element("wand-sensitivity").value) / 100;
    const widest = Number(element("wand-width").value);
    element("busy").textContent = "Looking for damage…";
    element("busy").hidden = false;
    try {
      const found = await wandHelper.ask({ blob: photo.blob, kind, sensitivity, widest });
      if (found.overtaken || photo !== this.photo()) return;
      element("busy").hidden = true;
      this.#show(photo, found);
    } catch (error) {
      element("busy").hidden = true;
      complain(error);
    }
  }

  #show(photo, { values, width, height, factor }) {
    const { suggestion, picture } = photo;
    suggestion.clear();
    const all = { left: 0, top: 0, right: picture.width, bottom: picture.height };
    suggestion.write(all, factor === 1 ? values : enlarged(values, width, factor, picture));
    this.update();
    say(suggestion.empty ? "Nothing was found" : "A suggestion is shown: Enter accepts it, Escape discards it");
  }

  /** Take the suggestion into the mask. */
  accept() {
    const photo = this.photo();
    if (!this.pending) return;
    const area = photo.suggestion.extent();
    const values = photo.suggestion.read(area);
    photo.history.step(() => {
      photo.mask.write(area, values, Math.max);
      photo.suggestion.clear();
    });
    this.update();
  }

  discard() {
    const photo = this.photo();
    if (!this.pending) return;
    photo.history.step(() => photo.suggestion.clear());
    this.update();
  }

  update() {
    for (const name of ["wand-accept", "wand-discard"]) element(name).disabled = !this.pending;
  }
}

function enlarged(values, width, factor, picture) {
  const result = new Uint8Array(picture.width * picture.height);
  for (let row = 0, to = 0; row < picture.height; row++) {
    const start = Math.floor(row / factor) * width;
    for (let column = 0; column < picture.width; column++) result[to++] = values[start + Math.floor(column / factor)];
  }
  return result;
}
