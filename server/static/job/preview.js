// Previews of a running job: regions of the photo as they are restored, by their position.

import { showError } from "../page/messages.js";
import { request } from "../service/api.js";

export class Previews {
  regions = new Map(); // position -> { bitmap, left, top, width, height }
  #fetching = false;
  #again = false;

  /** @param onChange called when there is another preview to draw */
  constructor(jobId, signal, onChange) {
    Object.assign(this, { jobId, signal, onChange });
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
    this.regions.get(key)?.bitmap.close();
    this.regions.set(key, { bitmap, ...place });
    this.onChange();
    // After the frame that draws it: bench_page.py measures the delay of previews.
    requestAnimationFrame(() => performance.mark("preview", { detail: { number: number("Number") } }));
  }

  close() {
    for (const { bitmap } of this.regions.values()) bitmap.close();
    this.regions.clear();
  }
}
