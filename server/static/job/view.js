// One job on the stage: while it runs, its previews over the photo; then before and after.

import { chosen, element } from "../page/elements.js";
import { announce, showError } from "../page/messages.js";
import { text } from "../page/texts.js";
import { deleteJob, getDisplay, getJob, stopJob } from "../service/api.js";
import { followJob } from "../service/events.js";
import { Mask } from "../painting/mask.js";
import { tilesOf } from "../painting/mask-tasks.js";
import { overlayColours } from "../view/overlay-colour.js";
import { openPicture } from "../view/picture.js";
import { fetchResult } from "./download.js";
import { JobPanel } from "./panel.js";
import { Previews } from "./preview.js";
import { isActive, isShowable, networkName, photoName, rememberName } from "./words.js";

export class JobView {
  job = null;
  #controller = null; // aborts the requests for the job that is shown
  #previews = null;
  #pictures = []; // opened here, to be closed here
  #before = null;
  #after = {}; // by network
  #mask = null; // of the job, where it is shown

  /**
   * @param onProgress called with the progress in a few characters
   * @param onEnd called with a job that has just ended
   */
  constructor(stage, { onProgress, onEnd }) {
    Object.assign(this, { stage, onProgress, onEnd, panel: new JobPanel() });
    element("stop").onclick = () => this.#stop();
    element("cancel").onclick = () => this.#cancel();
    for (const radio of document.getElementsByName("compare")) radio.onchange = () => this.#showResults();
  }

  /**
   * Show a job, and follow it to its end.
   *
   * @param photo the photo that it was made from, if this tab has it
   */
  async open(id, photo = null) {
    this.close();
    const { signal } = (this.#controller = new AbortController());
    this.#previews = new Previews(id, signal, { photo: () => this.#before, onChange: () => this.stage.drawPhoto() });
    this.panel.clear();
    this.stage.split = 0.5;
    this.photo = photo;
    this.job = await getJob(id, { signal });
    rememberName(this.job);
    if (signal.aborted) return;
    element("about-photo").textContent = photoName(id);
    this.#showPanel();
    this.#before = photo?.picture ?? null;
    if (!this.#before && isShowable(this.job)) this.#before = await this.#openDisplay({ of: "image" }, signal);
    if (signal.aborted) return;
    const panes = this.#before ? [{ before: this.#before, previews: this.#previews.regions }] : [];
    this.#show(panes, Boolean(photo));
    if (this.job.state !== "done") {
      await followJob(id, (event) => this.#onEvent(event), signal);
      if (signal.aborted) return;
      this.job = await getJob(id, { signal });
      this.onEnd(this.job);
      if (signal.aborted) return; // a cancelled job is closed at once
    }
    this.#showPanel();
    if (this.job.state === "done" && isShowable(this.job)) await this.#openResults(signal);
  }

  close() {
    this.#controller?.abort();
    this.#controller = this.job = this.#before = this.#mask = null;
    for (const picture of this.#pictures) picture.close();
    this.#previews?.close();
    this.#pictures = [];
    this.#after = {};
  }

  /** Fetch the mask of the job, so that it can be shown over the picture. */
  async loadMask() {
    if (this.#mask || !this.#before) return;
    const { id } = this.job;
    const { width, height } = this.#before;
    const own = this.photo?.jobs.get(id);
    const tiles = own ?? (await tilesOf(await this.#maskOf(id), { width, height }));
    if (this.job?.id !== id) return;
    this.#mask = new Mask(width, height, overlayColours(this.#before).mask);
    this.#mask.replace(tiles);
    this.#show(this.stage.panes);
  }

  #maskOf(id) {
    return getDisplay(id, { of: "mask" }).catch((error) => {
      throw error.code === "no_result" ? new Error(text("no_mask")) : error;
    });
  }

  /** Show the mask in the colour that is chosen now. */
  recolour() {
    this.#mask?.recolour(overlayColours(this.#before).mask);
  }

  #show(panes, keepView = true) {
    this.stage.show(panes, { masks: this.#mask ? [this.#mask] : [], keepView });
  }

  /** The result that is shown, as a file: { blob, name }. */
  resultFile() {
    const { results } = this.job;
    return fetchResult(this.job, results.find((each) => each.network === this.#choice) ?? results[0]);
  }

  // --- While the job runs -------------------------------------------------------------------------

  #onEvent({ kind, data, polled }) {
    if (kind === "progress") {
      Object.assign(this.job, { progress: data, state: data.state });
      if (!polled) this.panel.addPoint(data);
      if (data.coded_note) {
        this.job.coded_notes.push(data.coded_note);
        this.panel.showNotes(this.job);
      }
      this.#showProgress();
    } else if (kind === "preview") {
      this.#previews.fetch();
    }
  }

  #showPanel() {
    this.panel.show(this.job);
    if (isActive(this.job)) this.#showProgress();
  }

  #showProgress() {
    this.onProgress(this.panel.showProgress(this.job));
  }

  async #stop() {
    try {
      this.job.stopping = true; // answered at once; the worker ends its step first
      this.#showProgress();
      announce(text("stopping"));
      await stopJob(this.job.id);
    } catch (error) {
      if (error.code !== "not_running") showError(error);
    }
  }

  async #cancel() {
    try {
      await deleteJob(this.job.id);
    } catch (error) {
      showError(error);
    }
  }

  // --- When it has ended --------------------------------------------------------------------------

  async #openResults(signal) {
    for (const { network } of this.job.results) {
      this.#after[network] = await this.#openDisplay({ of: "result", network }, signal);
      if (signal.aborted) return;
    }
    this.#showResults();
    announce(text("told.restored"));
  }

  /** The network whose result is shown, or "both". */
  get #choice() {
    return this.job.results.length < 2 ? this.job.results[0]?.network : chosen("compare");
  }

  #showResults() {
    const networks = this.#choice === "both" ? this.job.results.map((each) => each.network) : [this.#choice];
    if (!networks.every((network) => this.#after[network])) return;
    const label = (network) => (this.job.results.length > 1 ? networkName(network) : text("after"));
    const panes = networks.map((network) => ({ before: this.#before, after: this.#after[network], label: label(network) }));
    this.#show(panes);
  }

  async #openDisplay(query, signal) {
    const blob = await getDisplay(this.job.id, query, { signal });
    const picture = await openPicture(blob, () => this.stage.drawPhoto());
    if (signal.aborted) picture.close();
    else this.#pictures.push(picture);
    return picture;
  }
}
