// The panel of a job: progress while it runs, the result afterwards, and technical details.

import { element, make } from "../page/elements.js";
import { errorText } from "../page/messages.js";
import { capitalised, sortNotes } from "../page/notes.js";
import { number, percent, text } from "../page/texts.js";
import { duration } from "../page/units.js";
import { Curve } from "./curve.js";
import { showDownloads } from "./download.js";
import { isActive, isShowable, leftRim, networkName, photoName, stateName, stoppedEarly, summary, waiting } from "./words.js";

const DECIBELS = { minimumFractionDigits: 1, maximumFractionDigits: 1 };

export class JobPanel {
  #curve = new Curve(element("curve"));

  /** Show a job in any state. */
  show(job) {
    const active = isActive(job);
    element("job-title").textContent = stateName(job);
    element("job-about").textContent = active ? "" : [photoName(job.id), summary(job), ...timeTaken(job)].join(" · ");
    element("job-running").hidden = !active;
    element("job-curve").hidden = !active;
    element("job-result").hidden = job.state !== "done";
    element("job-stopped").textContent = stoppedEarly(job);
    element("job-error").hidden = !job.error || job.state === "cancelled";
    element("job-error").textContent = job.error ? errorText(job.error) : "";
    const technical = this.showNotes(job);
    element("restore-rim").hidden = !leftRim(job) || !isShowable(job);
    element("compare-choice").hidden = job.results.length < 2;
    if (!active) this.#showDetails(job.results.flatMap(detailsOfResult));
    if (job.state === "done") showDownloads(job);
    element("job-details").hidden = !active && !job.results.length && !technical.length;
  }

  /** Show the notes of the engine; return the technical ones. */
  showNotes(job) {
    const { plain, technical } = sortNotes(job.coded_notes);
    if (!isShowable(job)) plain.unshift(text("job.not_showable"));
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
    element("job-title").textContent = stateName(job);
    const bar = element("job-progress");
    if (started && !job.stopping) bar.value = data.fraction;
    else bar.removeAttribute("value");
    const begins = capitalised(job.state === "queued" ? waiting(job) : text("waiting.starting"));
    const share = started ? percent(data.fraction) : begins === stateName(job) ? "" : begins;
    element("job-percent").textContent = started && job.stopping ? text("finishing.at", { share }) : share;
    const left = started && !job.stopping && data.remaining_s != null;
    element("job-left").textContent = left ? text("left", { duration: duration(data.remaining_s) }) : "";
    element("stop").hidden = Boolean(job.stopping);
    element("stop").disabled = !started;
    element("curve-loss").textContent = data.loss == null ? "" : number(data.loss, { maximumSignificantDigits: 3 });
    const { validation_psnr_db: psnr } = data;
    element("curve-validation").textContent = psnr == null ? "" : text("validation.value", { decibels: number(psnr, DECIBELS) });
    this.#showDetails(
      started
        ? [
            ["network", networkName(data.network), "network.learned"],
            ["iterations", text("iterations.of", { done: data.iteration, all: data.iterations }), "iterations.title"],
          ]
        : [],
    );
    return started ? share : "…";
  }

  #showDetails(details) {
    const rows = details.flatMap(([name, value, tooltip]) => [make("dt", { title: text(tooltip) }, text(name)), make("dd", {}, value)]);
    element("job-figures").replaceChildren(...rows);
  }
}

function timeTaken({ results }) {
  const seconds = results.reduce((sum, result) => sum + result.seconds, 0);
  return results.length ? [text("job.took", { duration: duration(seconds) })] : [];
}

function detailsOfResult({ network, iterations, validation_psnr_db: psnr }) {
  const details = [
    ["network", networkName(network), "network.learned"],
    ["iterations", number(iterations), "iterations.title"],
  ];
  if (psnr == null) return details;
  const error = percent(10 ** (-psnr / 20), { maximumSignificantDigits: 2 });
  return [...details, ["typical_error", text("typical_error.value", { error, decibels: number(psnr, DECIBELS) }), "typical_error.title"]];
}
