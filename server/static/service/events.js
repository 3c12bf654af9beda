// The events of a job: Server-Sent Events over fetch, which reports errors and resumes a broken
// stream, as EventSource does not.

import { getJob, pause, request } from "./api.js";

const FINAL_STATES = ["done", "failed", "cancelled"];
const POLL_EVERY_MS = 2000;

/**
 * Call `onEvent({ kind, data })` for each event of a job until its last. A hidden tab polls
 * instead: a browser grants six connections to all tabs together.
 */
export async function followJob(id, onEvent, signal) {
  let lastId = 0;
  while (!signal.aborted) {
    if (document.hidden) {
      const job = await getJob(id, { signal });
      if (job.progress) onEvent({ kind: "progress", data: job.progress, polled: true });
      if (!FINAL_STATES.includes(job.state)) {
        await Promise.race([pause(POLL_EVERY_MS), visibilityChange(signal)]);
        continue;
      }
    }
    const response = await request(`/v1/jobs/${id}/events`, {
      headers: { "Last-Event-ID": String(lastId), Accept: "text/event-stream" },
      signal: AbortSignal.any([signal, abortWhenHidden()]),
    }).catch((error) => {
      if (error.name !== "AbortError") throw error;
    });
    if (response?.status === 204) return;
    try {
      if (response) {
        for await (const event of parseEvents(response.body)) {
          lastId = event.id;
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

/** The events in a stream of bytes. */
async function* parseEvents(body) {
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

function abortWhenHidden() {
  const controller = new AbortController();
  document.addEventListener("visibilitychange", () => document.hidden && controller.abort(), { signal: controller.signal });
  return controller.signal;
}

const visibilityChange = (signal) =>
  new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true, signal }));
