// The tasks of mask-worker.js as functions.

import { WorkerClient } from "../page/worker-client.js";

const worker = new WorkerClient(new URL("./mask-worker.js", import.meta.url));

/** Run a task for masks of one size: `tiles`, `minus` and `lists` are lists of packed tiles, as are results. */
export async function runMaskTask(task, { width, height }, { tiles = [], minus = [], lists = [], ...given }) {
  return (await worker.ask({ task, width, height, tiles, minus, lists, ...given })).result;
}

/** A gray picture as the packed tiles of a mask; it must have the given size. */
export const tilesOf = (blob, size) => runMaskTask("fromGray", size, { blob });
