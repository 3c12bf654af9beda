// The toolbox: the current tool, the size of the brush, and the buttons for them.

import { element } from "../page/elements.js";
import { announce, showError } from "../page/messages.js";
import { text } from "../page/texts.js";
import { Brush } from "./brush.js";
import { FindBrush } from "./find-brush.js";
import { Input } from "./input.js";
import { Lasso } from "./lasso.js";
import { Rectangle } from "./rectangle.js";

export const TOOL_NAMES = ["brush", "eraser", "rectangle", "lasso", "find", "hand"];
const SLIDER_FACTOR = 1.062; // per step of the slider: fine steps for small brushes

export class Toolbox {
  name = "brush";
  #tools = {};

  /**
   * @param canPaint function: whether the open photo can be painted on now
   * @param find
   */
  constructor(stage, { canPaint, find }) {
    Object.assign(this, { stage, canPaint, find });
    this.input = new Input(stage, {
      tool: () => this.#current,
      radius: () => (this.#current && ["brush", "eraser", "find"].includes(this.name) ? this.brushRadius : null),
      resize: (steps) => this.resizeBrush(steps),
      cursor: element("cursor"),
      enterAccepts: () => this.name === "find" && find.pending,
    });
    for (const button of document.querySelectorAll("[data-tool]")) button.onclick = () => this.choose(button.dataset.tool);
    element("brush-size").oninput = () => this.resizeBrush();
    this.resizeBrush();
  }

  /** Make the tools for a newly opened photo. */
  adaptTo(photo) {
    const { history, mask, suggestion, dropped } = photo;
    // Found damage that is erased stays away, however often it is found.
    const masks = (erase) => (erase ? [[mask, true], [suggestion, true], [dropped, false]] : [[mask, false]]);
    const brush = { history, masks, radius: () => this.brushRadius };
    const shape = { history, masks, showOutline: (points) => this.stage.setOutline(points) };
    this.#tools = {
      brush: new Brush({ ...brush, erases: false }),
      find: new FindBrush({
        brush: new Brush({ ...brush, erases: false }),
        drop: (point) => this.find.drop(point, this.#zoom).catch(showError),
        scale: () => this.#zoom,
      }),
      eraser: new Brush({ ...brush, erases: true }),
      rectangle: new Rectangle(shape),
      lasso: new Lasso(shape),
    };
    const size = Math.max(6, photo.picture.width / 60, photo.picture.height / 60);
    element("brush-size").value = String(Math.round(Math.log(size) / Math.log(SLIDER_FACTOR)));
    this.resizeBrush();
  }

  /** CSS pixels for each pixel of the photo. */
  get #zoom() {
    return this.stage.viewport.scale / this.stage.ratio;
  }

  /** The tool that draws. Null: the photo is moved. */
  get #current() {
    return this.canPaint() ? (this.#tools[this.name] ?? null) : null;
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
    element("find-options").hidden = name !== "find";
    element("mask-options").hidden = name === "find";
    element("options").scrollLeft = 0;
    if (name === "find" && this.canPaint() && !this.find.pending) this.find.run();
    this.input.updateCursor();
    announce(text("told.tool", { tool: text(`tool.${name}`) }));
  }

  resizeBrush(steps = 0) {
    const slider = element("brush-size");
    slider.value = String(Number(slider.value) + steps);
    const size = Math.max(1, Math.round(2 * this.brushRadius));
    element("brush-size-shown").textContent = text("pixels", { count: size });
    slider.setAttribute("aria-valuetext", text("pixels.spoken", { count: size }));
    this.input.updateCursor();
  }
}
