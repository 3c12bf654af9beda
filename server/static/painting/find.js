// Finds the damage: the service looks for it, and a slider here decides how much of it is marked.
// The found damage is a layer of its own until the user accepts it; a job takes it as well.

import { element } from "../page/elements.js";
import { announce, showError, toast } from "../page/messages.js";
import { sortNotes } from "../page/notes.js";
import { percent, text } from "../page/texts.js";
import { WorkerClient } from "../page/worker-client.js";
import { cancelDetection, getDetection, getLevels, submitDetection } from "../service/api.js";
import { followJob } from "../service/events.js";
import { runMaskTask } from "./mask-tasks.js";

const KINDS = { specks: 1, scratches: 3, creases: 5 }; // of bright damage; dark damage has the next number
const REACH_PX = 6; // of a click, on the screen

const worker = new WorkerClient(new URL("./find-worker.js", import.meta.url));

export class Find {
  #levelsOf = null; // the photo whose levels the worker has
  #running = null; // { photo, controller } of a detection in progress
  #marking = false;
  #again = false;
  #unseen = false; // whether marks have changed since they were shown

  /** @param photo function that returns the open photo, or null */
  constructor({ photo }) {
    this.photo = photo;
    element("find-sensitivity").oninput = () => this.#mark();
    for (const box of document.getElementsByName("find-kind")) box.onchange = () => this.#mark();
    element("find-accept").onclick = () => this.accept().catch(showError);
    element("find-discard").onclick = () => this.discard();
  }

  /** Whether found damage waits for an answer. */
  get pending() {
    return this.photo()?.suggestion.empty === false;
  }

  /** End a search whose answer is of no use any more: a restoration would wait for it. */
  stop() {
    if (this.#running) this.forget();
  }

  /** Forget the search of a photo, and its levels. */
  forget() {
    this.#running?.controller.abort();
    this.#running = this.#levelsOf = null;
    this.#showProgress("");
  }

  /** Find the damage of the open photo, or mark it again. */
  async run() {
    const photo = this.photo();
    if (!photo || this.#running?.photo === photo) return;
    if (this.#levelsOf === photo) return this.#mark();
    const controller = new AbortController();
    this.#running = { photo, controller };
    try {
      await this.#detect(photo, controller.signal);
    } catch (error) {
      if (!controller.signal.aborted) showError(error);
    } finally {
      if (this.#running?.controller === controller) {
        this.#running = null;
        this.#showProgress("");
      }
    }
  }

  /** Show the first answer at once; then, when the search has ended, all damage. */
  async #detect(photo, signal) {
    this.#showProgress(text("busy.looking"));
    const { id } = await submitDetection({ image: photo.file, name: photo.name });
    const cancel = () => cancelDetection(id);
    signal.addEventListener("abort", cancel);
    addEventListener("pagehide", cancel);
    try {
      const close = followJob(id, ({ kind, data }) => kind === "progress" && this.#showProgress(text("find.closer", { share: percent(data.fraction ?? 0) })), signal);
      const quick = getLevels(id, { quick: "true" }, { signal }).then((blob) => this.#load(photo, blob, signal));
      quick.catch(() => {}); // the close look tells why it failed, or does better
      await close;
      await quick.catch(() => {});
      if (signal.aborted) return;
      const { error, coded_notes: notes } = await getDetection(id, { signal });
      if (error) throw error;
      const empty = await this.#load(photo, await getLevels(id, {}, { signal }), signal);
      performance.mark("found");
      if (empty) toast(text("find.nothing"));
      else announce(text("told.found"));
      for (const doubt of sortNotes(notes).plain) toast(doubt);
    } finally {
      signal.removeEventListener("abort", cancel);
      removeEventListener("pagehide", cancel);
      cancel(); // the levels are here
    }
  }

  async #load(photo, blob, signal) {
    if (signal.aborted) return true;
    const { result } = await worker.ask({ task: "load", blob });
    if (signal.aborted) return true;
    if (result.width !== photo.picture.width || result.height !== photo.picture.height) throw new Error(text("find.size"));
    this.#levelsOf = photo;
    await this.#mark();
    return result.empty;
  }

  /** Mark the found damage at the sensitivity of the slider. */
  async #mark() {
    const photo = this.photo();
    this.#showSensitivity();
    if (!photo || this.#levelsOf !== photo) return;
    if (this.#marking) {
      this.#again = true;
      return;
    }
    this.#marking = true;
    do {
      this.#again = false;
      const minimum = 256 - Math.round(255 * this.#sensitivity);
      const { result } = await worker.ask({ task: "mark", minimum, kinds: this.#kinds, dropped: photo.dropped.list });
      if (photo !== this.photo()) break;
      photo.suggestion.replace(result);
      photo.history.touch();
    } while (this.#again);
    this.#marking = false;
    performance.mark("marked");
    this.#unseen = true;
  }

  /** Note for measurements that all marks are on the screen. */
  noteShown() {
    if (this.#unseen) performance.mark("shown");
    this.#unseen = false;
  }

  /** Move the slider to a sensitivity, from 0 to 1. */
  set sensitivity(fraction) {
    element("find-sensitivity").value = String(100 * fraction);
    this.#showSensitivity();
  }

  get #sensitivity() {
    return Number(element("find-sensitivity").value) / 100;
  }

  get #kinds() {
    const chosen = [...document.getElementsByName("find-kind")].filter((box) => box.checked).map((box) => box.value);
    const bases = Object.keys(KINDS).filter((name) => chosen.includes(name));
    return bases.flatMap((name) => ["bright", "dark"].flatMap((tone, dark) => (chosen.includes(tone) ? [KINDS[name] + dark] : [])));
  }

  #showSensitivity() {
    const share = percent(this.#sensitivity);
    element("find-sensitivity-shown").textContent = share;
    element("find-sensitivity").setAttribute("aria-valuetext", share);
  }

  /** The words beside the slider: the progress, or the effect of a click. */
  #showProgress(message) {
    element("find-progress").textContent = message || (this.pending ? text("find.hint") : "");
  }

  /** Drop the found mark at a point of the photo; false if there is none. */
  async drop({ x, y }, scale) {
    const photo = this.photo();
    const tiles = photo.suggestion.list;
    if (!tiles.length) return false;
    const { result } = await worker.ask({ task: "markAt", x, y, radius: Math.max(1, REACH_PX / scale), tiles });
    if (!result.length || photo !== this.photo()) return false;
    const size = { width: photo.suggestion.width, height: photo.suggestion.height };
    const rest = await runMaskTask("subtract", size, { tiles, minus: result });
    const dropped = await runMaskTask("join", size, { lists: [photo.dropped.list, result] });
    photo.history.step(() => {
      photo.suggestion.replace(rest);
      photo.dropped.replace(dropped);
    });
    announce(text("told.dropped"));
    return true;
  }

  /** Merge the found damage into the mask. */
  async accept() {
    if (this.pending) await this.photo().acceptSuggestion();
  }

  discard() {
    const photo = this.photo();
    if (!this.pending) return;
    photo.history.step(() => photo.suggestion.clear());
  }

  /** Enable the buttons that answer a suggestion. */
  updateButtons() {
    for (const name of ["find-accept", "find-discard"]) element(name).disabled = !this.pending;
    this.#showSensitivity();
    if (!this.#running) this.#showProgress("");
  }
}
