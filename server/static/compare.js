// The line between before and after: one for each pane, all at the same place of their pane.

import { element, make } from "./messages.js";

export class Compare {
  constructor(stage) {
    this.stage = stage;
    this.box = element("dividers");
    this.labels = element("pane-labels");
  }

  /** Lines and names for the panes of the stage. */
  update() {
    const { stage, box } = this;
    const panes = stage.panes.filter((pane) => pane.after);
    if (box.childElementCount !== panes.length) {
      box.replaceChildren(...panes.map((pane, index) => this.#divider(pane, index)));
    }
    const named = stage.panes.flatMap((pane, index) => (pane.after ? [["Before", 0, index], [pane.label, 1, index]] : []));
    if (this.labels.childElementCount !== named.length) this.labels.replaceChildren(...named.map(() => make("span")));
    const places = stage.places;
    named.forEach(([text, right, index], position) => {
      const label = this.labels.children[position];
      label.textContent = text;
      const { x, width } = places[index];
      const inset = 14;
      label.style.left = right ? "" : `${x / stage.ratio + inset}px`;
      label.style.right = right ? `${(stage.width - x - width) / stage.ratio + inset}px` : "";
      label.hidden = right ? stage.split > 0.88 : stage.split < 0.12;
    });
    [...box.children].forEach((divider, index) => {
      const { x, width } = places[index];
      divider.style.left = `${(x + stage.split * width) / stage.ratio}px`;
      divider.setAttribute("aria-valuenow", String(Math.round(100 * stage.split)));
      divider.setAttribute("aria-valuetext", `${Math.round(100 * stage.split)} % before`);
      divider.setAttribute("aria-label", `Before and after: ${panes[index].label}`);
    });
  }

  #divider(pane, index) {
    const divider = make("div", {
      className: "divider",
      tabIndex: 0,
      attributes: { role: "slider", "aria-valuemin": "0", "aria-valuemax": "100" },
    });
    const moveTo = (clientX) => {
      const box = this.stage.element.getBoundingClientRect();
      const { x, width } = this.stage.places[index];
      this.stage.setSplit(((clientX - box.left) * this.stage.ratio - x) / width);
    };
    divider.addEventListener("pointerdown", (event) => divider.setPointerCapture(event.pointerId));
    divider.addEventListener("pointermove", (event) => divider.hasPointerCapture(event.pointerId) && moveTo(event.clientX));
    divider.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.stage.element.dispatchEvent(new WheelEvent("wheel", event));
    }, { passive: false });
    divider.addEventListener("keydown", (event) => {
      const step = event.shiftKey ? 0.1 : 0.02;
      const to = { ArrowLeft: this.stage.split - step, ArrowRight: this.stage.split + step, Home: 0, End: 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      this.stage.setSplit(to);
    });
    return divider;
  }
}
