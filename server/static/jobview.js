// One job on the stage: while it runs, the photo heals in place; then before and after.

import { ask, deleteJob, displayOf, getJob, stopJob } from "./api.js";
import { Curve } from "./curve.js";
import { follow } from "./events.js";
import { nameOf, networkName, showable, summary } from "./joblist.js";
import { complain, duration, element, fileSize, make, say } from "./messages.js";
import { openPicture } from "./picture.js";

const SUFFIXES = { png: ".png", tiff: ".tif", webp: ".webp", jpeg: ".jpg" };

const STATES = { done: "Restored", failed: "It did not work", cancelled: "Cancelled", queued: "Waiting", running: "Restoring" };

export class JobView {
  job = null;
  #control = null;
  #own = []; // pictures that were opened here
  #previews = new Map();
  #fetching = false;
  #missed = null;

  constructor(stage, { changed, ended }) {
    Object.assign(this, { stage, changed, ended, curve: new Curve(element("curve")) });
    element("stop").onclick = () => this.#stop();
    element("cancel").onclick = () => this.#cancel();
    for (const radio of document.getElementsByName("compare")) radio.onchange = () => this.#showResults(true);
  }

  /**
   * Show a job.
   *
   * @param photo the photo it was made from, where this tab has it
   */
  async open(id, photo = null) {
    this.close();
    const control = (this.#control = new AbortController());
    this.curve.clear();
    this.stage.split = 0.5;
    this.job = await getJob(id, { signal: control.signal });
    if (control.signal.aborted) return;
    this.#panel();
    this.before = photo?.picture ?? null;
    if (!this.before && showable(this.job)) {
      const { blob } = await displayOf(id, { of: "image" }, { signal: control.signal });
      this.before = await this.#picture(blob);
    }
    if (control.signal.aborted) return;
    this.stage.show(this.before ? [{ before: this.before, previews: this.#previews }] : [], { keepView: Boolean(photo) });
    if (!showable(this.job)) element("job-notes").textContent = "It came from another program, as plain samples: there is no picture to show here.";
    if (this.job.state !== "done") {
      await follow(id, (event) => this.#take(event), control.signal);
      if (control.signal.aborted) return;
      this.job = await getJob(id, { signal: control.signal });
      this.ended(this.job);
    }
    this.#panel();
    if (this.job.state === "done") await this.#loadResults(control.signal);
  }

  close() {
    this.#control?.abort();
    this.#control = this.job = this.before = null;
    for (const picture of this.#own) picture.close();
    for (const { bitmap } of this.#previews.values()) bitmap.close();
    this.#own = [];
    this.#previews = new Map();
    this.after = {};
  }

  /** The result that is looked at: its file, for going on from it. */
  async resultFile() {
    const choice = this.choice === "both" ? this.job.results[0].network : this.choice;
    const result = this.job.results.find((each) => each.network === choice) ?? this.job.results[0];
    const blob = await (await ask(result.url)).blob();
    return { blob, name: this.fileName(result) };
  }

  fileName(result) {
    const name = nameOf(this.job.id).replace(/\.[a-z]+$/i, "");
    const which = this.job.results.length > 1 ? `_${result.network}` : "";
    return `${name}_restored${which}${SUFFIXES[result.format] ?? ""}`;
  }

  get choice() {
    if (this.job.results.length < 2) return this.job.results[0]?.network;
    return [...document.getElementsByName("compare")].find((radio) => radio.checked).value;
  }

  // --- While it runs ------------------------------------------------------------------------------

  #take({ kind, data, hidden }) {
    if (kind === "progress") {
      this.job.progress = data;
      this.job.state = data.state;
      if (!hidden) this.curve.add(data);
      this.#progress(data);
    } else if (kind === "preview") {
      this.#fetchPreview(data);
    }
  }

  /** The latest preview: those that are overtaken while one is fetched are left out. */
  async #fetchPreview(event) {
    if (this.#fetching) {
      this.#missed = event;
      return;
    }
    this.#fetching = true;
    const { signal } = this.#control;
    try {
      const response = await ask(`/v1/jobs/${this.job.id}/preview`, { signal });
      const number = (name) => Number(response.headers.get(`Dip-${name}`));
      const place = { left: number("Left"), top: number("Top"), width: number("Width"), height: number("Height") };
      const bitmap = await createImageBitmap(await response.blob());
      if (signal.aborted) return bitmap.close();
      const key = Object.values(place).join();
      this.#previews.get(key)?.bitmap.close();
      this.#previews.set(key, { bitmap, ...place });
      this.stage.drawPhoto();
      // After it is drawn: how long previews are on their way is measured.
      requestAnimationFrame(() => performance.mark("preview", { detail: { number: number("Number") } }));
    } catch (error) {
      if (!signal.aborted && error.code !== "preview_missing" && error.code !== "job_unknown") complain(error);
    } finally {
      this.#fetching = false;
      const missed = this.#missed;
      this.#missed = null;
      if (missed && !signal.aborted) this.#fetchPreview(missed);
    }
  }

  #progress(data) {
    element("job-title").textContent = STATES[data.state];
    const bar = element("job-progress");
    const begun = data.fraction !== undefined && data.state === "running";
    if (begun) bar.value = data.fraction;
    else bar.removeAttribute("value");
    const percent = begun ? `${Math.floor(100 * data.fraction)} %` : data.state === "queued" ? "Waits for its turn" : "Beginning";
    element("job-percent").textContent = percent;
    element("job-left").textContent = begun && data.remaining_s != null ? `${duration(data.remaining_s)} left` : "";
    element("curve-loss").textContent = data.loss == null ? "" : data.loss.toPrecision(3);
    element("curve-validation").textContent = data.validation_psnr_db == null ? "" : `${data.validation_psnr_db.toFixed(1)} dB`;
    element("stop").disabled = !begun;
    if (begun && data.iteration) {
      const parts = data.regions > 1 ? `, part ${data.region + (data.region < data.regions ? 1 : 0)} of ${data.regions}` : "";
      element("job-about").textContent = `${networkName(data.network)}${parts} · iteration ${data.iteration} of ${data.iterations}`;
    }
    this.changed(begun ? percent : "…");
  }

  async #stop() {
    try {
      element("stop").disabled = true;
      await stopJob(this.job.id);
      say("Stopping with the best so far");
    } catch (error) {
      if (error.code !== "not_running") complain(error);
    }
  }

  async #cancel() {
    try {
      await deleteJob(this.job.id);
    } catch (error) {
      complain(error);
    }
  }

  // --- When it has ended --------------------------------------------------------------------------

  async #loadResults(signal) {
    if (!showable(this.job)) return;
    for (const { network } of this.job.results) {
      const { blob } = await displayOf(this.job.id, { of: "result", network }, { signal });
      this.after[network] = await this.#picture(blob);
      if (signal.aborted) return;
    }
    this.#showResults(true);
    say("Done. The line in the middle compares before and after.");
  }

  #showResults(keepView) {
    const networks = this.choice === "both" ? this.job.results.map((each) => each.network) : [this.choice];
    if (!networks.every((network) => this.after[network])) return;
    const panes = networks.map((network) => ({ before: this.before, after: this.after[network], label: networkName(network) }));
    this.stage.show(panes, { keepView });
  }

  async #picture(blob) {
    const picture = await openPicture(blob, () => this.stage.drawPhoto());
    if (this.#control === null) picture.close();
    else this.#own.push(picture);
    return picture;
  }

  // --- The panel ----------------------------------------------------------------------------------

  #panel() {
    const { job } = this;
    const runs = job.state === "queued" || job.state === "running";
    element("job-title").textContent = STATES[job.state];
    element("job-about").textContent = runs ? "" : [nameOf(job.id), summary(job)].join(" · ");
    element("job-running").hidden = !runs;
    element("job-result").hidden = job.state !== "done";
    element("job-error").hidden = !job.error || job.state === "cancelled";
    element("job-error").textContent = job.error ? `${job.error.message} ${job.error.hint}` : "";
    element("job-notes").textContent = job.notes.join(" ");
    if (runs) this.#progress(job.progress ?? { state: job.state });
    if (job.state === "done") this.#figures();
  }

  #figures() {
    const { results } = this.job;
    element("compare-choice").hidden = results.length < 2;
    element("job-figures").replaceChildren(
      ...results.flatMap((result) => {
        const quality = result.validation_psnr_db == null ? "" : ` · ${result.validation_psnr_db.toFixed(1)} dB`;
        const facts = `${result.iterations} iterations · ${duration(result.seconds)}${quality}`;
        return [make("dt", {}, networkName(result.network)), make("dd", {}, facts)];
      }),
    );
    element("downloads").replaceChildren(
      ...results.map((result) => {
        const depth = { uint8: "8 bit", uint16: "16 bit", float32: "32-bit float" }[result.samples];
        const facts = `${result.format.toUpperCase()} · ${depth} · ${fileSize(result.bytes)}`;
        const label = results.length > 1 ? `Download ${networkName(result.network)}` : "Download";
        return make("a", { className: "download", href: result.url, download: this.fileName(result) }, label, make("small", {}, facts));
      }),
    );
  }
}
