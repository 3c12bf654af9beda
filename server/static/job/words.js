// A job in words: its photo, its settings, its state.

import { hasText, language, percent, text } from "../page/texts.js";
import { duration } from "../page/units.js";

const NETWORKS = { unet: "U-Net", segnet: "SegNet" };

export const networkName = (network) => NETWORKS[network] ?? text("network.both.name");
export const presetName = (preset) => (hasText(`preset.${preset}`) ? text(`preset.${preset}`) : preset);
export const presetDescription = (preset) => (hasText(`preset.${preset}.about`) ? text(`preset.${preset}.about`) : "");

export const isActive = (job) => job.state === "queued" || job.state === "running";

/** The state as the title of the panel. */
export function stateName({ state, ahead, stopping, stopped }) {
  if (stopping) return text("finishing");
  if (stopped) return text("state.stopped");
  return text(state === "queued" && !ahead ? "state.starting" : `state.${state}`);
}

/** Whether the page can show a job's pictures; other programs may send plain samples. */
export const isShowable = (job) => job.parameters.result === "image" && job.parameters.format !== "raw";

const photoNames = new Map();
export const photoName = (id) => photoNames.get(id) || text("photo");
export const rememberName = ({ id, photo }) => photoNames.set(id, photo);

/** Settings and state in one line, such as "Fast · 35 %, 50 s left". */
export function summary(job) {
  const { network, preset } = job.parameters;
  const settings = presetName(preset) + (network === "unet" ? "" : ` · ${networkName(network)}`);
  return `${settings} · ${progressOf(job)}`;
}

function progressOf(job) {
  if (job.state === "queued") return waiting(job);
  if (job.state === "failed") return text("state.failed");
  if (job.state === "running") {
    const { fraction, remaining_s: left } = job.progress ?? {};
    if (fraction === undefined) return text("waiting.starting");
    if (job.stopping) return text("finishing.at", { share: percent(fraction) });
    return [percent(fraction), left == null ? "" : text("left", { duration: duration(left) })].filter(Boolean).join(", ");
  }
  const ended = new Date(job.ended);
  const today = ended.toDateString() === new Date().toDateString();
  return ended.toLocaleString(language, today ? { hour: "numeric", minute: "2-digit" } : { dateStyle: "short", timeStyle: "short" });
}

/** Why a queued job does not run yet. */
export const waiting = ({ ahead }) => (ahead ? text("waiting.for", { count: ahead }) : text("waiting.starting"));

/** What a stopped job did not reach, in a sentence; empty where it reached everything. */
export function stoppedEarly({ stopped, progress }) {
  if (!stopped) return "";
  const { fraction } = progress ?? {};
  return fraction === undefined ? text("stopped.unknown") : text("stopped", { share: percent(fraction) });
}

/** Whether a job has left damage at the rim of its mask. */
export const leftRim = ({ coded_notes: notes }) => notes.some(({ code }) => code === "rim_damaged");
