// Before and after: in each pane a line that can be moved, and a label on each side of it.

import { element, make } from "../page/elements.js";
import { percent, text } from "../page/texts.js";

const LABEL_INSET_PX = 14;

export class Compare {
  constructor(stage) {
    this.stage = stage;
    this.dividers = element("dividers");
    this.labels = element("pane-labels");
  }

  /** Place lines and labels; call it whenever the view changes. */
  update() {
    const { stage, dividers } = this;
    const panes = stage.panes.filter((pane) => pane.after);
    if (dividers.childElementCount !== panes.length) {
      dividers.replaceChildren(...panes.map((pane, index) => this.#makeDivider(index)));
    }
    const places = stage.places;
    this.#placeLabels(places);
    [...dividers.children].forEach((divider, index) => {
      const { x, width } = places[index];
      divider.style.left = `${(x + stage.split * width) / stage.ratio}px`;
      divider.setAttribute("aria-valuenow", String(Math.round(100 * stage.split)));
      divider.setAttribute("aria-valuetext", text("before_share", { share: percent(stage.split) }));
      divider.setAttribute("aria-label", text("before_after", { label: panes[index].label }));
    });
  }

  #placeLabels(places) {
    const { stage, labels } = this;
    const names = stage.panes.flatMap((pane, index) => (pane.after ? [[text("before"), false, index], [pane.label, true, index]] : []));
    if (labels.childElementCount !== names.length) labels.replaceChildren(...names.map(() => make("span")));
    names.forEach(([text, right, index], position) => {
      const label = labels.children[position];
      label.textContent = text;
      const { x, width } = places[index];
      label.style.left = right ? "" : `${x / stage.ratio + LABEL_INSET_PX}px`;
      label.style.right = right ? `${(stage.width - x - width) / stage.ratio + LABEL_INSET_PX}px` : "";
      label.hidden = right ? stage.split > 0.88 : stage.split < 0.12;
    });
  }

  #makeDivider(index) {
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
