// Talks to the service. What may be repeated is repeated: when the service is gone, requests wait
// until it is back, and when the page is not signed in, until it is.

const LOOK_EVERY_MS = 1000;
const MOST_FAILURES = 5;
const UNSENT = { code: "unsent", message: "It cannot be sent.", hint: "Is the file still where it was? Open it again." };

/** What the service refused, with what to do about it. */
export class Refusal extends Error {
  constructor(status, { code, message, hint }) {
    super(message);
    Object.assign(this, { status, code, hint });
  }
}

/** "gone", "back", "signed-out", "signed-in" */
export const connection = new EventTarget();
let gone = null;
let signedOut = null;

const tell = (name) => connection.dispatchEvent(new Event(name));
export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Ask for something; the answer is a Response. */
export async function ask(path, { signal, ...options } = {}) {
  for (let failures = 0; ; ) {
    let response;
    try {
      response = await fetch(path, { cache: "no-store", credentials: "same-origin", signal, ...options });
    } catch (error) {
      if (signal?.aborted) throw error;
      await (gone ??= untilBack());
      // The service is there, and yet it fails: it is not the service.
      if (++failures === MOST_FAILURES) throw new Refusal(0, UNSENT);
      continue;
    }
    if (response.ok || response.status === 204) return response;
    const refusal = await refusalFrom(response);
    if (refusal.code === "token_required") await (signedOut ??= untilSignedIn());
    else if (response.status === 503) await pause(1000 * (Number(response.headers.get("Retry-After")) || 1));
    else throw refusal;
  }
}

export const askJson = async (path, options) => (await ask(path, options)).json();

async function refusalFrom(response) {
  try {
    return new Refusal(response.status, (await response.json()).error);
  } catch {
    return new Refusal(response.status, { code: "unknown", message: `The service answered ${response.status}.`, hint: "" });
  }
}

async function untilBack() {
  tell("gone");
  for (;;) {
    await pause(LOOK_EVERY_MS);
    try {
      if ((await fetch("/v1/health", { cache: "no-store" })).ok) break;
    } catch {
      // not yet
    }
  }
  gone = null;
  tell("back");
}

/** Trade a token for a link that opens the page, signed in; null where it is not this service's. */
export async function linkFor(token) {
  const response = await fetch("/v1/launch", { method: "POST", headers: { Authorization: `Bearer ${token}` } });
  return response.ok ? (await response.json()).url : null;
}

async function untilSignedIn() {
  tell("signed-out");
  for (;;) {
    await Promise.race([pause(4 * LOOK_EVERY_MS), new Promise((resolve) => addEventListener("focus", resolve, { once: true }))]);
    try {
      if ((await fetch("/v1/jobs?limit=1", { cache: "no-store" })).ok) break;
    } catch {
      // gone as well; it comes back first
    }
  }
  signedOut = null;
  tell("signed-in");
}

// --- What there is to ask -----------------------------------------------------------------------

export const capabilities = () => askJson("/v1/capabilities");
export const listJobs = () => askJson("/v1/jobs?limit=60").then((answer) => answer.jobs);
export const getJob = (id, options) => askJson(`/v1/jobs/${id}`, options);
export const stopJob = (id) => askJson(`/v1/jobs/${id}/stop`, { method: "POST" });
export const deleteJob = (id) => ask(`/v1/jobs/${id}`, { method: "DELETE" });
export const example = () => ask("/v1/example").then((answer) => answer.blob());

/** Hand a job in. The key makes one job of it, however often it has to be sent. */
export function submit({ image, name, mask, ...parameters }) {
  const form = new FormData();
  form.append("image", image, name);
  if (mask) form.append("mask", mask, "mask.png");
  for (const [key, value] of Object.entries(parameters)) form.append(key, value);
  const key = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return askJson("/v1/jobs", { method: "POST", body: form, headers: { "Idempotency-Key": key } });
}

/** A picture that every browser can decode, of a file that perhaps none can. */
export async function display(file, kind) {
  const form = new FormData();
  form.append("image", file, "image");
  form.append("kind", kind);
  return shown(await ask("/v1/display", { method: "POST", body: form }));
}

export const displayUrl = (id, query) => `/v1/jobs/${id}/display?${new URLSearchParams(query)}`;
export const displayOf = async (id, query, options) => shown(await ask(displayUrl(id, query), options));

async function shown(response) {
  const blob = await response.blob();
  return { blob, samples: response.headers.get("Dip-Samples"), format: response.headers.get("Dip-Format") };
}
