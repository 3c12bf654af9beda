// A job in words: its photo, its settings, its state, its notes.

import { duration } from "../page/units.js";

const NETWORKS = { unet: "U-Net", segnet: "SegNet", both: "Both networks" };
const PRESETS = {
  fast: ["Fast", "A quick look. Details are a little softer."],
  balanced: ["Balanced", "The right choice for most photos."],
  best: ["Best", "The finest result. It takes several times as long."],
  paper: ["As published", "The method of the scientific paper, unchanged. It takes hours."],
};
const STATES = { queued: "Waiting", running: "Restoring", done: "Restored", failed: "Not restored", cancelled: "Cancelled" };

// Notes with these words belong to the details.
const TECHNICAL = /\b(iterations?|loss|learning rate|rate|run|seed|network|held-out|CUDA|GPU|dB)\b/i;

export const networkName = (network) => NETWORKS[network] ?? network;
export const presetName = (preset) => PRESETS[preset][0];
export const presetDescription = (preset) => PRESETS[preset][1];
export const stateName = (state) => STATES[state];

export const isActive = (job) => job.state === "queued" || job.state === "running";

/** Whether the page can show a job's pictures; other programs may send plain samples. */
export const isShowable = (job) => job.parameters.result === "image" && job.parameters.format !== "raw";

const photoNames = new Map();
export const photoName = (id) => photoNames.get(id) || "Photo";
export const rememberName = ({ id, photo }) => photoNames.set(id, photo);

/** Settings and state in one line, such as "Fast · 35 %, 50 s left". */
export function summary(job) {
  const { network, preset } = job.parameters;
  const settings = presetName(preset) + (network === "unet" ? "" : ` · ${networkName(network)}`);
  return `${settings} · ${progressOf(job)}`;
}

function progressOf(job) {
  if (job.state === "queued") return waiting(job);
  if (job.state === "failed") return "not restored";
  if (job.state === "running") {
    const { fraction, remaining_s: left } = job.progress ?? {};
    if (fraction === undefined) return "starting";
    return `${Math.round(100 * fraction)} %${left == null ? "" : `, ${duration(left)} left`}`;
  }
  const ended = new Date(job.ended);
  const today = ended.toDateString() === new Date().toDateString();
  return ended.toLocaleString([], today ? { hour: "2-digit", minute: "2-digit" } : { dateStyle: "short", timeStyle: "short" });
}

/** Why a queued job does not run yet. */
export function waiting({ ahead }) {
  if (!ahead) return "starting";
  return `waiting for ${ahead} other photo${ahead === 1 ? "" : "s"}`;
}

/** Notes of the engine as sentences, for the user and for the details. */
export function sortNotes(notes) {
  const sentences = notes.map((note) => capitalised(note).replace(/[^.!?]$/, "$&."));
  return { plain: sentences.filter((note) => !TECHNICAL.test(note)), technical: sentences.filter((note) => TECHNICAL.test(note)) };
}

export const capitalised = (text) => text[0].toUpperCase() + text.slice(1);
