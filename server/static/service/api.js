// Requests to the service. A request waits while the service is unreachable or the page is signed
// out, and is repeated afterwards.

import { text } from "../page/texts.js";

const RETRY_EVERY_MS = 1000;
const MOST_FAILURES = 5;

/** An error body of the service: status, code, message and hint. */
export class ServiceError extends Error {
  constructor(status, { code, message, hint }) {
    super(message);
    Object.assign(this, { status, code, hint });
  }
}

/** Sends the events "lost", "back", "signed-out" and "signed-in". */
export const connection = new EventTarget();
let reconnecting = null;
let signingIn = null;

const notify = (name) => connection.dispatchEvent(new Event(name));
export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Send a request; the answer is a Response. */
export async function request(path, { signal, ...options } = {}) {
  for (let failures = 0; ; ) {
    let response;
    try {
      response = await fetch(path, { cache: "no-store", credentials: "same-origin", signal, ...options });
    } catch (error) {
      if (signal?.aborted) throw error;
      await (reconnecting ??= reconnect());
      // The service answers, and still this request fails: the cause is the request.
      if (++failures === MOST_FAILURES) throw new ServiceError(0, { code: "unsent", message: text("error.unsent"), hint: "" });
      continue;
    }
    if (response.ok || response.status === 204) return response;
    const error = await errorFrom(response);
    if (error.code === "token_required") await (signingIn ??= waitForSignIn());
    else if (response.status === 503) await pause(1000 * (Number(response.headers.get("Retry-After")) || 1));
    else throw error;
  }
}

const requestJson = async (path, options) => (await request(path, options)).json();

async function errorFrom(response) {
  try {
    return new ServiceError(response.status, (await response.json()).error);
  } catch {
    return new ServiceError(response.status, { code: "unknown", message: text("error.status", { status: String(response.status) }), hint: "" });
  }
}

async function reconnect() {
  notify("lost");
  for (;;) {
    await pause(RETRY_EVERY_MS);
    try {
      if ((await fetch("/v1/health", { cache: "no-store" })).ok) break;
    } catch {
      // still unreachable
    }
  }
  reconnecting = null;
  notify("back");
}

async function waitForSignIn() {
  notify("signed-out");
  for (;;) {
    await Promise.race([pause(4 * RETRY_EVERY_MS), new Promise((resolve) => addEventListener("focus", resolve, { once: true }))]);
    try {
      if ((await fetch("/v1/jobs?limit=1", { cache: "no-store" })).ok) break;
    } catch {
      // unreachable as well
    }
  }
  signingIn = null;
  notify("signed-in");
}

/** Trade a token for a link that signs the page in; null if the service refuses the token. */
export async function launchLink(token) {
  const response = await fetch("/v1/launch", { method: "POST", headers: { Authorization: `Bearer ${token}` } });
  return response.ok ? (await response.json()).url : null;
}

// --- Routes -------------------------------------------------------------------------------------

export const getCapabilities = () => requestJson("/v1/capabilities");
export const listJobs = () => requestJson("/v1/jobs?limit=60").then((answer) => answer.jobs);
export const getJob = (id, options) => requestJson(`/v1/jobs/${id}`, options);
export const stopJob = (id) => requestJson(`/v1/jobs/${id}/stop`, { method: "POST" });
export const deleteJob = (id) => request(`/v1/jobs/${id}`, { method: "DELETE" });
export const deleteWhileLeaving = (id) => fetch(`/v1/jobs/${id}`, { method: "DELETE", keepalive: true }).catch(() => {});
export const getExample = () => request("/v1/example").then((answer) => answer.blob());

const randomKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** Submit a job. The key makes it one job, however often the request is repeated. */
export function submitJob({ image, name, mask, ...parameters }) {
  const form = new FormData();
  form.append("image", image, name);
  if (mask) form.append("mask", mask, "mask.png");
  for (const [key, value] of Object.entries(parameters)) form.append(key, value);
  return requestJson("/v1/jobs", { method: "POST", body: form, headers: { "Idempotency-Key": randomKey() } });
}

/** Find the damage of a photo; see submitJob. */
export function submitDetection({ image, name }) {
  const form = new FormData();
  form.append("image", image, name);
  return requestJson("/v1/detections", { method: "POST", body: form, headers: { "Idempotency-Key": randomKey() } });
}

export const getDetection = (id, options) => requestJson(`/v1/detections/${id}`, options);

/** The levels of a detection as a picture; `quick: "true"` for those that are found at once. */
export const getLevels = async (id, query, options) =>
  (await request(`/v1/detections/${id}/levels?${new URLSearchParams(query)}`, options)).blob();

/** End a detection and forget it, also while the page goes away. */
export const cancelDetection = (id) => fetch(`/v1/detections/${id}`, { method: "DELETE", keepalive: true }).catch(() => {});

/** Convert a file to a picture that every browser can decode; `kind` is "photo" or "mask". */
export async function convertForDisplay(file, kind) {
  const form = new FormData();
  form.append("image", file, "image");
  form.append("kind", kind);
  const response = await request("/v1/display", { method: "POST", body: form });
  return { blob: await response.blob(), samples: response.headers.get("Dip-Samples") };
}

export const displayUrl = (id, query) => `/v1/jobs/${id}/display?${new URLSearchParams(query)}`;

/** A job's image, mask or result, as a picture that every browser can decode. */
export const getDisplay = async (id, query, options) => (await request(displayUrl(id, query), options)).blob();
