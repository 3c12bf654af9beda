// The tasks of mask-worker.js as functions.

import { WorkerClient } from "../page/worker-client.js";
import { packTiles } from "./packing.js";

const worker = new WorkerClient(new URL("./mask-worker.js", import.meta.url));

/** Run a task for masks of one size: `tiles`, `minus` and `lists` are lists of tiles, see tiles.js. */
export async function runMaskTask(task, { width, height }, { tiles = [], minus = [], lists = [], ...given }) {
  const masks = { tiles: packTiles(tiles), minus: packTiles(minus), lists: lists.map(packTiles) };
  return (await worker.ask({ task, width, height, ...masks, ...given })).result;
}

/** A gray picture as the tiles of a mask; it must have the given size. */
export const tilesOf = (blob, size) => runMaskTask("fromGray", size, { blob });
