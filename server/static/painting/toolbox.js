// The toolbox: the current tool, the size of the brush, and the buttons for them.

import { element } from "../page/elements.js";
import { announce } from "../page/messages.js";
import { Brush } from "./brush.js";
import { Input } from "./input.js";
import { Lasso } from "./lasso.js";
import { Rectangle } from "./rectangle.js";

export const TOOL_NAMES = ["brush", "eraser", "rectangle", "lasso", "wand", "hand"];
const SLIDER_FACTOR = 1.062; // per step of the slider: fine steps for small brushes

export class Toolbox {
  name = "brush";
  #tools = {};

  /**
   * @param canPaint function: whether the open photo can be painted on now
   * @param wand
   */
  constructor(stage, { canPaint, wand }) {
    Object.assign(this, { stage, canPaint, wand });
    this.input = new Input(stage, {
      tool: () => this.#current,
      radius: () => (this.#current && ["brush", "eraser", "wand"].includes(this.name) ? this.brushRadius : null),
      cursor: element("cursor"),
      enterAccepts: () => this.name === "wand" && wand.pending,
    });
    for (const button of document.querySelectorAll("[data-tool]")) button.onclick = () => this.choose(button.dataset.tool);
    element("brush-size").oninput = () => this.resizeBrush();
    this.resizeBrush();
  }

  /** Make the tools for a newly opened photo. */
  adaptTo(photo) {
    const { history, mask, suggestion } = photo;
    // Erasing changes the wand's suggestion as well.
    const masks = (erase) => (erase && !suggestion.empty ? [mask, suggestion] : [mask]);
    const brush = { history, masks, radius: () => this.brushRadius };
    const shape = { history, masks, showOutline: (points) => this.stage.setOutline(points) };
    this.#tools = {
      brush: new Brush({ ...brush, erases: false }),
      eraser: new Brush({ ...brush, erases: true }),
      rectangle: new Rectangle(shape),
      lasso: new Lasso(shape),
    };
    const size = Math.max(6, photo.picture.width / 60, photo.picture.height / 60);
    element("brush-size").value = String(Math.round(Math.log(size) / Math.log(SLIDER_FACTOR)));
    this.resizeBrush();
  }

  /** The tool that draws; with the wand it is the brush. Null: the photo is moved. */
  get #current() {
    return this.canPaint() ? (this.#tools[this.name === "wand" ? "brush" : this.name] ?? null) : null;
  }

  /** Radius of the brush, px of the photo. */
  get brushRadius() {
    return 0.5 * SLIDER_FACTOR ** Number(element("brush-size").value);
  }

  choose(name) {
    if (document.body.dataset.mode !== "edit" && name !== "hand") return;
    this.input.liftPen();
    this.name = name;
    for (const button of document.querySelectorAll("[data-tool]")) button.setAttribute("aria-pressed", String(button.dataset.tool === name));
    element("size-option").hidden = !["brush", "eraser"].includes(name);
    element("wand-options").hidden = name !== "wand";
    element("mask-options").hidden = name === "wand";
    if (name === "wand" && this.canPaint() && !this.wand.pending) this.wand.suggest();
    this.input.updateCursor();
    announce(`Tool: ${name}`);
  }

  resizeBrush(steps = 0) {
    const slider = element("brush-size");
    slider.value = String(Number(slider.value) + steps);
    const size = `${Math.max(1, Math.round(2 * this.brushRadius))} px`;
    element("brush-size-shown").textContent = size;
    slider.setAttribute("aria-valuetext", size);
    this.input.updateCursor();
  }
}
