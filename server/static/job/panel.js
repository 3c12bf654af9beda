// The panel of a job: progress while it runs, the result afterwards, and technical details.

import { element, make } from "../page/elements.js";
import { duration } from "../page/units.js";
import { Curve } from "./curve.js";
import { showDownloads } from "./download.js";
import { capitalised, isActive, isShowable, networkName, photoName, sortNotes, stateName, summary, waiting } from "./words.js";

const NOT_SHOWABLE = "Another program sent this job as plain samples. This page cannot show its pictures.";
const TOOLTIPS = {
  Network: "The kind of neural network that learned from this photo.",
  Iteration: "One iteration is one small correction of the network.",
  Iterations: "One iteration is one small correction of the network.",
  "Typical error":
    "Some undamaged pixels are hidden from the network, which then has to predict them. " +
    "This is its error there, as a share of full brightness. In brackets the same in decibels: higher is better.",
};

export class JobPanel {
  #curve = new Curve(element("curve"));

  /** Show a job in any state. */
  show(job) {
    const active = isActive(job);
    element("job-title").textContent = stateName(job.state);
    element("job-about").textContent = active ? "" : [photoName(job.id), summary(job), ...timeTaken(job)].join(" · ");
    element("job-running").hidden = !active;
    element("job-curve").hidden = !active;
    element("job-result").hidden = job.state !== "done";
    element("job-error").hidden = !job.error || job.state === "cancelled";
    element("job-error").textContent = job.error ? `${job.error.message} ${job.error.hint}` : "";
    const technical = this.showNotes(job);
    element("compare-choice").hidden = job.results.length < 2;
    if (!active) this.#showFacts(job.results.flatMap(factsOfResult));
    if (job.state === "done") showDownloads(job);
    element("job-details").hidden = !active && !job.results.length && !technical.length;
  }

  /** Show the notes of the engine; return the technical ones. */
  showNotes(job) {
    const { plain, technical } = sortNotes(job.notes);
    if (!isShowable(job)) plain.unshift(NOT_SHOWABLE);
    element("job-notes").replaceChildren(...plain.map((note) => make("li", {}, note)));
    element("job-technical-notes").replaceChildren(...technical.map((note) => make("li", {}, note)));
    return technical;
  }

  clear() {
    this.#curve.clear();
  }

  /** Add a point to the curve. */
  addPoint(progress) {
    this.#curve.add(progress);
  }

  /** Show how far a job is; return that in a few characters, for the window's title. */
  showProgress(job) {
    const data = job.progress ?? {};
    const started = job.state === "running" && data.fraction !== undefined;
    element("job-title").textContent = stateName(job.state);
    const bar = element("job-progress");
    if (started) bar.value = data.fraction;
    else bar.removeAttribute("value");
    const percent = started ? `${Math.floor(100 * data.fraction)} %` : capitalised(job.state === "queued" ? waiting(job) : "starting");
    element("job-percent").textContent = percent;
    element("job-left").textContent = started && data.remaining_s != null ? `${duration(data.remaining_s)} left` : "";
    element("stop").disabled = !started;
    element("curve-loss").textContent = data.loss == null ? "" : data.loss.toPrecision(3);
    element("curve-validation").textContent = data.validation_psnr_db == null ? "" : `${data.validation_psnr_db.toFixed(1)} dB`;
    if (started) {
      this.#showFacts([["Network", networkName(data.network)], ["Iteration", `${data.iteration} of ${data.iterations}`]]);
    } else this.#showFacts([]);
    return started ? percent : "…";
  }

  #showFacts(facts) {
    const rows = facts.flatMap(([name, value]) => [make("dt", { title: TOOLTIPS[name] ?? "" }, name), make("dd", {}, value)]);
    element("job-figures").replaceChildren(...rows);
  }
}

function timeTaken({ results }) {
  const seconds = results.reduce((sum, result) => sum + result.seconds, 0);
  return results.length ? [`took ${duration(seconds)}`] : [];
}

function factsOfResult({ network, iterations, validation_psnr_db: psnr }) {
  const facts = [["Network", networkName(network)], ["Iterations", String(iterations)]];
  if (psnr == null) return facts;
  const error = 100 * 10 ** (-psnr / 20);
  return [...facts, ["Typical error", `${error.toPrecision(2)} % (${psnr.toFixed(1)} dB)`]];
}
