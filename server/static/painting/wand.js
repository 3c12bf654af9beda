// The wand: suggests a mask of likely damage. The user accepts it, discards it, or edits it first.

import { chosen, element } from "../page/elements.js";
import { announce, showError } from "../page/messages.js";
import { WorkerClient } from "../page/worker-client.js";

const DEBOUNCE_MS = 120;
const CONTROLS = ["kind", "sensitivity", "width"];

const worker = new WorkerClient(new URL("./wand-worker.js", import.meta.url));

export class Wand {
  #timer = null;

  /**
   * @param photo function that returns the open photo, or null
   * @param onSuggestion called when a suggestion is shown
   */
  constructor({ photo, onSuggestion }) {
    Object.assign(this, { photo, onSuggestion });
    for (const name of CONTROLS) {
      for (const input of document.getElementsByName(`wand-${name}`)) input.oninput = () => this.#settingsChanged();
    }
    element("wand-accept").onclick = () => this.accept();
    element("wand-discard").onclick = () => this.discard();
  }

  /** Whether a suggestion waits for an answer. */
  get pending() {
    return this.photo()?.suggestion.empty === false;
  }

  #settingsChanged() {
    this.#showWidth();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.suggest(), DEBOUNCE_MS);
  }

  #showWidth() {
    element("wand-width-shown").textContent = `${element("wand-width").value} px`;
  }

  /** Set the width of damage to a fixed share of the photo's size. */
  adaptTo({ picture }) {
    const longest = Math.max(picture.width, picture.height);
    element("wand-width").value = String(Math.max(7, Math.round(longest / 110)));
    this.#showWidth();
  }

  async suggest() {
    const photo = this.photo();
    if (!photo) return;
    const sensitivity = Number(element("wand-sensitivity").value) / 100;
    const maxWidth = Number(element("wand-width").value);
    element("busy").textContent = "Looking for damage…";
    element("busy").hidden = false;
    try {
      const found = await worker.ask({ blob: photo.blob, kind: chosen("wand-kind"), sensitivity, maxWidth });
      if (found.outdated || photo !== this.photo()) return;
      element("busy").hidden = true;
      this.#show(photo, found);
    } catch (error) {
      element("busy").hidden = true;
      showError(error);
    }
  }

  #show(photo, { values, width, factor }) {
    const { suggestion, picture } = photo;
    suggestion.clear();
    const whole = { left: 0, top: 0, right: picture.width, bottom: picture.height };
    suggestion.write(whole, factor === 1 ? values : enlarge(values, width, factor, picture));
    this.onSuggestion();
    announce(suggestion.empty ? "No damage was found" : "Damage was found. Enter accepts the suggestion, Escape discards it.");
  }

  /** Merge the suggestion into the mask. */
  accept() {
    const photo = this.photo();
    if (!this.pending) return;
    const area = photo.suggestion.extent();
    const values = photo.suggestion.read(area);
    photo.history.step(() => {
      photo.mask.write(area, values, Math.max);
      photo.suggestion.clear();
    });
  }

  discard() {
    const photo = this.photo();
    if (!this.pending) return;
    photo.history.step(() => photo.suggestion.clear());
  }

  /** Enable the buttons that answer a suggestion. */
  updateButtons() {
    for (const name of ["wand-accept", "wand-discard"]) element(name).disabled = !this.pending;
  }
}

/** Enlarge a reduced suggestion to the photo's size. */
function enlarge(values, width, factor, picture) {
  const result = new Uint8Array(picture.width * picture.height);
  for (let row = 0, to = 0; row < picture.height; row++) {
    const start = Math.floor(row / factor) * width;
    for (let column = 0; column < picture.width; column++) result[to++] = values[start + Math.floor(column / factor)];
  }
  return result;
}
