// The jobs of the service, the latest first, with what they look like.

import { deleteJob, displayUrl, listJobs, pause } from "./api.js";
import { complain, duration, element, make } from "./messages.js";

const NETWORKS = { unet: "U-Net", segnet: "SegNet", both: "Both networks" };
const BUSY_MS = 1500;
const QUIET_MS = 8000;
const MOST_NAMES = 300;

export const networkName = (network) => NETWORKS[network] ?? network;

/** Whether a job's pictures can be shown: other programs send plain samples. */
export const showable = (job) => job.parameters.result === "image" && job.parameters.format !== "raw";

// The service knows no file names; this browser remembers those that it sent.
const names = () => JSON.parse(localStorage.getItem("dip-names") ?? "{}");
export const nameOf = (id) => names()[id] ?? "Photo";
export function remember(id, name) {
  const kept = Object.entries({ ...names(), [id]: name }).slice(-MOST_NAMES);
  localStorage.setItem("dip-names", JSON.stringify(Object.fromEntries(kept)));
}

export class JobList {
  jobs = [];
  #entries = new Map();
  #woken = () => {};

  constructor({ open, forgotten }) {
    Object.assign(this, { open, forgotten, list: element("jobs"), current: null });
  }

  /** Look for news now and then, for ever. */
  async keepUp() {
    for (;;) {
      try {
        await this.refresh();
      } catch (error) {
        console.info(error);
      }
      const active = this.jobs.some((job) => ["queued", "running"].includes(job.state));
      const woken = new Promise((resolve) => (this.#woken = resolve));
      await Promise.race([pause(active ? BUSY_MS : QUIET_MS), woken]);
      while (document.hidden) await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
    }
  }

  wake() {
    this.#woken();
  }

  async refresh() {
    this.jobs = (await listJobs()).filter((job) => job.state !== "cancelled"); // nothing is kept of those
    this.render();
  }

  setCurrent(id) {
    this.current = id;
    this.render();
  }

  render() {
    const ids = new Set(this.jobs.map((job) => job.id));
    for (const [id, entry] of this.#entries) {
      if (ids.has(id)) continue;
      entry.item.remove();
      this.#entries.delete(id);
    }
    this.jobs.forEach((job, index) => {
      if (!this.#entries.has(job.id)) this.#entries.set(job.id, this.#entry(job));
      const entry = this.#entries.get(job.id);
      this.#update(entry, job);
      if (this.list.children[index] !== entry.item) this.list.insertBefore(entry.item, this.list.children[index] ?? null);
    });
    element("no-jobs").hidden = this.jobs.length > 0;
  }

  #entry(job) {
    const image = make("img", { className: "thumb", alt: "", loading: "lazy", decoding: "async" });
    const [title, about] = [make("strong"), make("small")];
    const button = make("button", { type: "button", className: "entry" }, image, make("span", {}, title, about));
    button.onclick = () => this.open(job.id);
    const forget = make("button", { type: "button", className: "forget quiet icon small", title: "Forget" }, "×");
    forget.onclick = () => this.#forget(job.id);
    return { item: make("li", {}, button, forget), button, image, title, about, forget };
  }

  #update({ button, image, title, about, forget }, job) {
    title.textContent = nameOf(job.id);
    about.textContent = summary(job);
    forget.setAttribute("aria-label", `Forget ${nameOf(job.id)}, ${summary(job)}`);
    if (job.id === this.current) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
    if (!showable(job)) return;
    const wanted = displayUrl(job.id, { of: job.state === "done" ? "result" : "image", side: 144 });
    if (image.getAttribute("src") !== wanted) image.src = wanted;
  }

  async #forget(id) {
    const before = this.jobs.find((job) => job.id === id);
    try {
      await deleteJob(id);
      if (["queued", "running"].includes(before?.state)) await deleteJob(id).catch(() => {}); // cancelled first
    } catch (error) {
      if (error.code !== "job_unknown") return complain(error);
    }
    this.forgotten(id);
    await this.refresh();
  }
}

/** A job in a few words. */
export function summary(job) {
  const { network, preset } = job.parameters;
  const what = `${networkName(network)} · ${preset}`;
  if (job.state === "running") {
    const { fraction, remaining_s: left } = job.progress ?? {};
    if (fraction === undefined) return `${what} · beginning`;
    return `${what} · ${Math.round(100 * fraction)} %${left == null ? "" : `, ${duration(left)} left`}`;
  }
  if (job.state === "queued") return `${what} · waits${job.ahead ? `, ${job.ahead} before it` : ""}`;
  if (job.state === "failed") return `${what} · failed`;
  const ended = new Date(job.ended);
  const today = ended.toDateString() === new Date().toDateString();
  return `${what} · ${ended.toLocaleString([], today ? { hour: "2-digit", minute: "2-digit" } : { dateStyle: "short", timeStyle: "short" })}`;
}
