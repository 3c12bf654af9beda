// How long a restoration takes, before it begins: from the size of the damage, and from how long
// earlier ones took on the machine of the service.

import { text } from "../page/texts.js";
import { duration } from "../page/units.js";

// Seconds to begin with, and for each megapixel within reach of a mark, on two cores.
const COSTS = { fast: [6, 20], balanced: [12, 100], best: [40, 500] };
const LEARNED = "dip-speed";
const MOST_LEARNED = 5;

const learned = () => JSON.parse(localStorage.getItem(LEARNED) ?? "{}");

function predict({ around }, { preset, network, time_s: limit }) {
  if (!COSTS[preset]) return null;
  const [start, each] = COSTS[preset];
  const networks = network === "both" ? 2 : 1;
  const seconds = start + (each * around) / 1e6;
  return networks * (limit ? Math.min(seconds, Number(limit)) : seconds);
}

/** The estimate as a sentence; empty where there is none. */
export function describeEstimate(measures, options) {
  const seconds = predict(measures, options);
  if (seconds === null) return "";
  const factors = (learned()[options.preset] ?? []).toSorted((a, b) => a - b);
  const factor = factors.length && !options.time_s ? factors[factors.length >> 1] : 1;
  return text("estimate", { duration: duration(rounded(factor * seconds)) });
}

/** Two digits of a duration would promise too much. */
function rounded(seconds) {
  const step = [5, 10, 30, 60, 300, 600, 1800].find((each) => seconds < 12 * each) ?? 3600;
  return Math.max(step, Math.round(seconds / step) * step);
}

/** Learn from a job that has ended by itself. */
export function learnFrom(job, measures, options) {
  const seconds = job.results.reduce((sum, result) => sum + result.seconds, 0);
  const predicted = predict(measures, options);
  if (job.state !== "done" || job.stopped || !predicted || options.time_s) return;
  const speeds = learned();
  speeds[options.preset] = [...(speeds[options.preset] ?? []), seconds / predicted].slice(-MOST_LEARNED);
  localStorage.setItem(LEARNED, JSON.stringify(speeds));
}
