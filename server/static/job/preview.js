// Previews of a running job: regions of the photo as they are restored, by their position.

import { showError } from "../page/messages.js";
import { request } from "../service/api.js";
import { drawPicture, isSharp } from "../view/picture.js";

const COMPARED_PX = 64;
const [SAME, OTHER, FLAT] = [2, 24, 3]; // levels of 255

export class Previews {
  regions = new Map(); // position -> { bitmap, left, top, width, height }
  #fetching = false;
  #again = false;

  /**
   * @param photo function that returns the picture below the previews
   * @param onChange called when there is another preview to draw
   */
  constructor(jobId, signal, { photo, onChange }) {
    Object.assign(this, { jobId, signal, photo, onChange });
  }

  /** Fetch the latest preview. Previews that appear during a request lead to one more request. */
  async fetch() {
    if (this.#fetching) {
      this.#again = true;
      return;
    }
    this.#fetching = true;
    const { signal } = this;
    try {
      await this.#fetchLatest();
    } catch (error) {
      if (!signal.aborted && error.code !== "preview_missing" && error.code !== "job_unknown") showError(error);
    } finally {
      this.#fetching = false;
      const again = this.#again;
      this.#again = false;
      if (again && !signal.aborted) this.fetch();
    }
  }

  async #fetchLatest() {
    const response = await request(`/v1/jobs/${this.jobId}/preview`, { signal: this.signal });
    const number = (name) => Number(response.headers.get(`Dip-${name}`));
    const place = { left: number("Left"), top: number("Top"), width: number("Width"), height: number("Height") };
    const bitmap = await createImageBitmap(await response.blob());
    if (this.signal.aborted) return bitmap.close();
    const key = Object.values(place).join();
    const old = this.regions.get(key)?.bitmap;
    if (isProgress(bitmap, old, this.photo(), place)) {
      old?.close();
      this.regions.set(key, { bitmap, ...place });
      this.onChange();
    } else bitmap.close();
    // After the frame that draws it: bench_page.py measures the delay of previews.
    requestAnimationFrame(() => performance.mark("preview", { detail: { number: number("Number") } }));
  }

  close() {
    for (const { bitmap } of this.regions.values()) bitmap.close();
    this.regions.clear();
  }
}

/** Whether a preview shows something new: another picture than the last, and not a flat fill that fits nothing around it. */
function isProgress(bitmap, old, photo, place) {
  const now = sample((context, size) => context.drawImage(bitmap, 0, 0, size, size));
  if (old) {
    const before = sample((context, size) => context.drawImage(old, 0, 0, size, size));
    if (now.every((value, at) => Math.abs(value - before[at]) <= SAME)) return false;
  }
  if (!photo) return true;
  const viewport = { scale: COMPARED_PX / Math.max(place.width, place.height) };
  if (!isSharp(photo, viewport.scale)) return false; // the next preview comes soon
  Object.assign(viewport, { x: -place.left * viewport.scale, y: -place.top * viewport.scale });
  const [across, down] = [place.width * viewport.scale, place.height * viewport.scale];
  const filled = sample((context) => context.drawImage(bitmap, 0, 0, across, down));
  const below = sample((context) => drawPicture(context, photo, viewport, 0, { x: 0, y: 0, width: across, height: down }));
  const [inside, outside] = [[], []];
  for (let at = 0; at < filled.length; at += 4) {
    if (!filled[at + 3]) continue;
    const changed = [0, 1, 2].some((channel) => Math.abs(filled[at + channel] - below[at + channel]) > OTHER);
    (changed ? inside : outside).push(filled[at] + filled[at + 1] + filled[at + 2]);
  }
  if (inside.length < 16 || !outside.length) return true;
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  inside.sort((a, b) => a - b);
  const [low, centre, high] = [0.25, 0.5, 0.75].map((share) => inside[Math.floor(share * inside.length)]); // the edge is blurred
  return high - low > 3 * FLAT || Math.abs(centre - mean(outside)) < 3 * OTHER;
}

/** Draw something small, and read its samples. */
function sample(draw) {
  const context = new OffscreenCanvas(COMPARED_PX, COMPARED_PX).getContext("2d", { willReadFrequently: true });
  draw(context, COMPARED_PX);
  return context.getImageData(0, 0, COMPARED_PX, COMPARED_PX).data;
}
