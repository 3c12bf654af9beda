// The list of jobs, the latest first, with small pictures.

import { element, make } from "../page/elements.js";
import { showError, toast } from "../page/messages.js";
import { text } from "../page/texts.js";
import { deleteJob, deleteWhileLeaving, displayUrl, listJobs, pause } from "../service/api.js";
import { isActive, isShowable, photoName, rememberName, summary } from "./words.js";

const ACTIVE_POLL_MS = 1500;
const IDLE_POLL_MS = 8000;
const THUMBNAIL_PX = 144;

/** Say for how many days restored photos are kept. */
export function showRetention(days) {
  element("no-jobs").textContent = text("jobs.none", { count: days });
}

export class JobList {
  jobs = [];
  #items = new Map(); // by job id
  #leaving = new Set(); // ids of jobs whose deletion can still be undone
  #current = null;
  #wake = () => {};

  /**
   * @param open called with the id of a job that is chosen
   * @param deleted called with the id of a job that was deleted
   */
  constructor({ open, deleted }) {
    Object.assign(this, { open, deleted, list: element("jobs") });
    addEventListener("pagehide", () => this.#leaving.forEach(deleteWhileLeaving));
  }

  /** Refresh the list for ever, more often while jobs are active. */
  async poll() {
    for (;;) {
      try {
        await this.refresh();
      } catch (error) {
        console.info(error);
      }
      const woken = new Promise((resolve) => (this.#wake = resolve));
      await Promise.race([pause(this.jobs.some(isActive) ? ACTIVE_POLL_MS : IDLE_POLL_MS), woken]);
      while (document.hidden) await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
    }
  }

  /** Refresh at once. */
  wake() {
    this.#wake();
  }

  async refresh() {
    this.jobs = (await listJobs()).filter((job) => job.state !== "cancelled"); // these have no pictures
    this.jobs.forEach(rememberName);
    this.#render();
  }

  /** Highlight a job; null for none. */
  setCurrent(id) {
    this.#current = id;
    this.#render();
  }

  /** The job to show when the page opens: the one that runs, or that runs next. */
  get active() {
    return this.jobs.findLast((job) => job.state === "running") ?? this.jobs.findLast((job) => job.state === "queued");
  }

  #render() {
    const jobs = this.jobs.filter((job) => !this.#leaving.has(job.id));
    const ids = new Set(jobs.map((job) => job.id));
    for (const [id, { item }] of this.#items) {
      if (ids.has(id)) continue;
      item.remove();
      this.#items.delete(id);
    }
    jobs.forEach((job, index) => {
      if (!this.#items.has(job.id)) this.#items.set(job.id, this.#makeItem(job));
      const parts = this.#items.get(job.id);
      this.#update(parts, job);
      if (this.list.children[index] !== parts.item) this.list.insertBefore(parts.item, this.list.children[index] ?? null);
    });
    element("no-jobs").hidden = jobs.length > 0;
  }

  #makeItem(job) {
    const image = make("img", { className: "thumbnail", alt: "", loading: "lazy", decoding: "async" });
    const [title, about] = [make("strong"), make("small")];
    const button = make("button", { type: "button", className: "entry" }, image, make("span", {}, title, about));
    button.onclick = () => this.open(job.id);
    const remove = make("button", { type: "button", className: "delete quiet icon small", title: text("delete") }, "×");
    remove.onclick = () => this.#delete(job.id);
    return { item: make("li", {}, button, remove), button, image, title, about, remove };
  }

  #update({ button, image, title, about, remove }, job) {
    title.textContent = photoName(job.id);
    about.textContent = summary(job);
    remove.setAttribute("aria-label", text("delete.named", { name: photoName(job.id), about: summary(job) }));
    if (job.id === this.#current) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
    if (!isShowable(job)) return;
    const url = displayUrl(job.id, { of: job.state === "done" ? "result" : "image", side: THUMBNAIL_PX });
    if (image.getAttribute("src") !== url) image.src = url;
  }

  /** Delete a job, unless the user takes that back within some seconds. */
  #delete(id) {
    const job = this.jobs.find((each) => each.id === id);
    this.#leaving.add(id);
    this.#render();
    this.deleted(id);
    const back = () => {
      this.#leaving.delete(id);
      this.#render();
    };
    const undo = { text: text("undo"), run: back };
    toast(text("deleted", { name: photoName(id) }), { action: undo, onEnd: () => this.#deleteNow(id, job) });
  }

  async #deleteNow(id, job) {
    try {
      await deleteJob(id);
      if (job && isActive(job)) await deleteJob(id).catch(() => {}); // the first request only cancels it
    } catch (error) {
      if (error.code !== "job_unknown") return showError(error);
    }
    this.#leaving.delete(id);
    await this.refresh();
  }
}
