// The curve of a running job: the loss on a logarithmic scale, and the validation in decibels.

export class Curve {
  #points = [];
  #scheduled = false;

  constructor(canvas) {
    this.canvas = canvas;
    new ResizeObserver(() => this.#schedule()).observe(canvas);
  }

  clear() {
    this.#points = [];
    this.#schedule();
  }

  /** Add the data of a progress event. A new attempt at the job starts a new curve. */
  add({ attempt, network, region, run, iteration, fraction, loss, validation_psnr_db: validation }) {
    if (iteration === undefined) return;
    const last = this.#points.at(-1);
    if (last && (last.attempt !== attempt || fraction < last.fraction)) this.#points = [];
    this.#points.push({ attempt, network, region, run, fraction, loss, validation });
    this.#schedule();
  }

  #schedule() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    requestAnimationFrame(() => {
      this.#scheduled = false;
      this.#draw();
    });
  }

  #draw() {
    const { canvas } = this;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth * ratio, canvas.clientHeight * ratio];
    if (!width) return;
    [canvas.width, canvas.height] = [Math.round(width), Math.round(height)];
    const context = canvas.getContext("2d");
    context.strokeStyle = getComputedStyle(canvas).color;
    context.lineWidth = ratio;
    for (const level of [0.25, 0.5, 0.75]) {
      context.beginPath();
      context.moveTo(0, Math.round(level * height) + 0.5);
      context.lineTo(width, Math.round(level * height) + 0.5);
      context.stroke();
    }
    const colourOf = (selector) => getComputedStyle(document.querySelector(selector), "::before").backgroundColor;
    this.#line(context, width, height, ratio, "loss", Math.log, colourOf(".legend .loss"));
    this.#line(context, width, height, ratio, "validation", Number, colourOf(".legend .validation"));
  }

  #line(context, width, height, ratio, name, scale, colour) {
    const points = this.#points.filter((point) => point[name] != null && (name !== "loss" || point.loss > 0));
    if (points.length < 2) return;
    const values = points.map((point) => scale(point[name]));
    const [low, high] = [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
    const margin = 8 * ratio;
    context.strokeStyle = colour;
    context.lineWidth = 2 * ratio;
    context.lineCap = "round";
    context.beginPath();
    // One line for each fit; fits side by side take turns.
    const ends = new Map();
    points.forEach(({ network, region, run, fraction }, index) => {
      const fit = [network, region, run].join();
      const x = fraction * width;
      const y = height - margin - ((values[index] - low) / (high - low || 1)) * (height - 2 * margin);
      context.moveTo(...(ends.get(fit) ?? [x, y]));
      context.lineTo(x, y);
      ends.set(fit, [x, y]);
    });
    context.stroke();
  }
}
