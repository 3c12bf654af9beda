// Follows a job: Server-Sent Events over fetch, which tells why it failed and resumes where it was.

import { ask, getJob, pause } from "./api.js";

const FINAL = ["done", "failed", "cancelled"];
const LOOK_EVERY_MS = 2000;

/**
 * Call `onEvent({ kind, data })` for everything that happens to a job, until its last event. A tab
 * that nobody sees holds no stream: browsers grant six connections to all tabs together.
 */
export async function follow(id, onEvent, signal) {
  let after = 0;
  while (!signal.aborted) {
    if (document.hidden) {
      const job = await getJob(id, { signal });
      if (job.progress) onEvent({ kind: "progress", data: job.progress, hidden: true });
      if (!FINAL.includes(job.state)) {
        await Promise.race([pause(LOOK_EVERY_MS), seen(signal)]);
        continue;
      }
    }
    const response = await ask(`/v1/jobs/${id}/events`, {
      headers: { "Last-Event-ID": String(after), Accept: "text/event-stream" },
      signal: AbortSignal.any([signal, hidden()]),
    }).catch((error) => {
      if (error.name !== "AbortError") throw error;
    });
    if (response?.status === 204) return;
    try {
      if (response) {
        for await (const event of parse(response.body)) {
          after = event.id;
          onEvent(event);
          if (event.kind === "done" || event.kind === "error") return;
        }
      }
    } catch {
      // The stream broke: the next request waits until the service is back.
    }
    if (!signal.aborted) await pause(100);
  }
}

/** The events of a stream of bytes. */
export async function* parse(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let pending = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (pending + value).split("\n\n");
    pending = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]));
      if (fields.event) yield { id: Number(fields.id), kind: fields.event, data: JSON.parse(fields.data) };
    }
  }
}

function hidden() {
  const control = new AbortController();
  document.addEventListener("visibilitychange", () => document.hidden && control.abort(), { signal: control.signal });
  return control.signal;
}

const seen = (signal) =>
  new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true, signal }));
