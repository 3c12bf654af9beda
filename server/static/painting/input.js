// Input on the photo. One pointer (mouse, pen or finger) paints; two fingers move and zoom; the
// arrow keys and Enter guide a pen for those who use the keyboard.

const ZOOM_PER_PX = 0.0022;

export class Input {
  #fingers = new Map();
  #painting = null; // id of the pointer that paints
  #moving = null; // { id, x, y } of the pointer that moves the photo
  #pinch = null;
  #spaceHeld = false;
  #pointing = false; // whether the pointer was moved over the photo after the last Tab
  #penSeen = false;
  #altUsed = false; // for the wheel
  #pen = null; // the keyboard's pen: { x, y, radius, down }
  #last = null; // the latest position of the pointer in the window

  /**
   * @param stage
   * @param tool function that returns the current tool; null means that the photo is moved
   * @param radius function that returns the radius of the brush, px of the photo, or null
   * @param resize function (steps) that makes the brush larger or smaller
   * @param cursor the element that shows the brush
   * @param enterAccepts function: whether Enter accepts a suggestion now
   */
  constructor(stage, { tool, radius, resize, cursor, enterAccepts }) {
    Object.assign(this, { stage, tool, radius, resize, cursor, enterAccepts });
    const on = (name, handle, options) => stage.element.addEventListener(name, handle, options);
    on("pointerdown", (event) => this.#down(event));
    on("pointermove", (event) => this.#move(event));
    on("pointerup", (event) => this.#up(event));
    on("pointercancel", (event) => this.#cancel(event));
    on("pointerleave", () => {
      this.#pointing = false;
      cursor.hidden = true;
    });
    on("contextmenu", (event) => event.preventDefault());
    on("wheel", (event) => this.#wheel(event), { passive: false });
    on("keydown", (event) => this.#key(event));
    addEventListener("keydown", (event) => this.#windowKey(event), true);
    addEventListener("keyup", (event) => this.#windowKeyUp(event), true);
    addEventListener("blur", () => this.#holdSpace(false));
    on("blur", () => {
      this.liftPen();
      stage.setPen(null);
    });
  }

  /** Space moves the photo wherever the focus is, while the pointer is over the photo. */
  #windowKey(event) {
    if (event.key === "Tab") this.#pointing = false;
    const over = this.#pointing || event.target === this.stage.element;
    const types = event.target.matches?.("input[type=number], input[type=password]");
    if (event.key !== " " || event.ctrlKey || event.metaKey || !over || types || document.querySelector("dialog[open]")) return;
    event.preventDefault(); // else a button that has the focus would be pressed
    this.#holdSpace(true);
  }

  #windowKeyUp(event) {
    if (event.key === "Alt" && this.#altUsed) event.preventDefault(); // else some browsers open their menu
    if (event.key !== " " || !this.#spaceHeld) return;
    event.preventDefault();
    this.#holdSpace(false);
  }

  #holdSpace(held) {
    this.#spaceHeld = held;
    this.updateCursor();
  }

  /** Show the cursor that fits the tool and the size of the brush. */
  updateCursor(event) {
    const paints = this.tool() !== null && !this.#spaceHeld;
    const round = paints && this.radius() !== null;
    const { classList } = this.stage.element;
    classList.toggle("hand", !paints);
    classList.toggle("cross", paints && !round);
    classList.toggle("painting", round);
    const { cursor } = this;
    if (event) this.#last = { x: event.clientX, y: event.clientY };
    cursor.hidden = !round || !this.#last || event?.pointerType === "touch" || (!event && cursor.hidden);
    if (cursor.hidden) return;
    const size = Math.max(4, (2 * this.radius() * this.stage.viewport.scale) / this.stage.ratio);
    const box = this.stage.element.getBoundingClientRect();
    cursor.style.width = cursor.style.height = `${size}px`;
    cursor.style.transform = `translate(${this.#last.x - box.left - size / 2}px, ${this.#last.y - box.top - size / 2}px)`;
    cursor.classList.toggle("down", this.#painting !== null);
  }

  // --- Pointers ---------------------------------------------------------------------------------

  #down(event) {
    const { stage } = this;
    stage.element.focus({ preventScroll: true });
    stage.setPen(null);
    if (event.pointerType === "pen") this.#penSeen = true;
    if (event.pointerType === "touch") {
      this.#fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      if (this.#fingers.size === 2) return this.#beginPinch();
      if (this.#fingers.size > 2) return;
    }
    try {
      stage.element.setPointerCapture(event.pointerId);
    } catch {
      // the pointer has left already
    }
    // Beside a pen, a finger is a palm, or moves the photo.
    const palm = event.pointerType === "touch" && this.#penSeen;
    const tool = this.#spaceHeld || event.button === 1 || palm ? null : this.tool();
    if (tool && (event.button === 0 || event.button === 2)) {
      this.#painting = event.pointerId;
      const erase = event.altKey || event.button === 2 || (event.buttons & 32) !== 0; // 32: a pen's other end
      tool.down(stage.toImage(event.clientX, event.clientY), { alternative: erase, straight: event.shiftKey });
      this.active = tool;
    } else if (!tool) {
      this.#moving = { id: event.pointerId, x: event.clientX, y: event.clientY };
    }
    this.updateCursor(event);
  }

  #move(event) {
    this.#pointing = true;
    const finger = this.#fingers.get(event.pointerId);
    if (finger) Object.assign(finger, { x: event.clientX, y: event.clientY });
    if (this.#pinch) return this.#movePinch();
    if (this.#painting === event.pointerId) {
      // All positions since the last frame, not only the latest.
      const between = event.getCoalescedEvents?.() ?? [];
      for (const each of between.length ? between : [event]) this.active.move(this.stage.toImage(each.clientX, each.clientY));
    } else if (this.#moving?.id === event.pointerId) {
      this.stage.panBy(event.clientX - this.#moving.x, event.clientY - this.#moving.y);
      Object.assign(this.#moving, { x: event.clientX, y: event.clientY });
    }
    this.updateCursor(event);
  }

  #up(event) {
    this.#fingers.delete(event.pointerId);
    if (this.#pinch && this.#fingers.size < 2) this.#pinch = null;
    if (this.#painting === event.pointerId) {
      this.#painting = null;
      this.active.up();
    }
    if (this.#moving?.id === event.pointerId) this.#moving = null;
    this.updateCursor(event);
  }

  #cancel(event) {
    this.#fingers.delete(event.pointerId);
    if (this.#painting === event.pointerId) this.#cancelStroke();
    this.#moving = this.#pinch = null;
  }

  #cancelStroke() {
    this.#painting = null;
    this.active.cancel();
  }

  get #fingerSpan() {
    const [a, b] = [...this.#fingers.values()];
    return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, length: Math.hypot(a.x - b.x, a.y - b.y) || 1 };
  }

  #beginPinch() {
    if (this.#painting !== null) this.#cancelStroke();
    this.#moving = null;
    this.#pinch = this.#fingerSpan;
  }

  #movePinch() {
    if (this.#fingers.size < 2) return;
    const [old, now] = [this.#pinch, this.#fingerSpan];
    this.stage.panBy(now.x - old.x, now.y - old.y);
    this.stage.zoomAt(now.x, now.y, now.length / old.length);
    this.#pinch = now;
  }

  #wheel(event) {
    event.preventDefault();
    const unit = event.deltaMode === 1 ? 24 : event.deltaMode === 2 ? 400 : 1;
    if (event.altKey) {
      this.#altUsed = true;
      if (event.deltaY) this.resize(event.deltaY < 0 ? 2 : -2);
      return this.updateCursor(event);
    }
    if (event.shiftKey) return this.stage.panBy(-unit * (event.deltaX || event.deltaY), 0);
    const speed = event.ctrlKey ? 4 : 1; // a pinch on a touchpad
    const by = Math.min(240, Math.max(-240, -event.deltaY * unit * speed));
    this.stage.zoomAt(event.clientX, event.clientY, Math.exp(by * ZOOM_PER_PX));
    this.updateCursor(event);
  }

  // --- Keys -------------------------------------------------------------------------------------

  #key(event) {
    if (event.ctrlKey || event.metaKey) return;
    const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (direction) {
      event.preventDefault();
      this.#movePen(direction, event.shiftKey);
    } else if (event.key === "Enter" && !event.repeat && this.tool() && !this.enterAccepts()) {
      event.preventDefault();
      this.#togglePen(event.altKey);
    } else if (event.key === "Escape" && this.#pen?.down) {
      event.stopPropagation();
      this.#pen.down = false;
      this.active.cancel();
      this.stage.setPen(this.#pen);
    }
  }

  #movePen([dx, dy], far) {
    const { stage } = this;
    if (!this.tool()) return stage.panBy(-dx * (far ? 200 : 40), -dy * (far ? 200 : 40));
    const pen = this.#placePen();
    const step = Math.max(1, (this.radius() ?? 8 / stage.viewport.scale) / 2) * (far ? 8 : 1);
    pen.x = Math.min(stage.size.width, Math.max(0, pen.x + dx * step));
    pen.y = Math.min(stage.size.height, Math.max(0, pen.y + dy * step));
    if (pen.down) this.active.move({ x: pen.x, y: pen.y });
    if (stage.viewport.reveal(pen.x, pen.y, 40)) stage.redraw();
    stage.setPen(pen);
  }

  #togglePen(alternative) {
    const pen = this.#placePen();
    if (pen.down) return this.liftPen();
    pen.down = true;
    this.active = this.tool();
    this.active.down({ x: pen.x, y: pen.y }, { alternative });
    this.stage.setPen(pen);
  }

  liftPen() {
    if (!this.#pen?.down) return;
    this.#pen.down = false;
    this.active.up();
    this.stage.setPen(this.#pen);
  }

  /** The keyboard's pen, inside the photo; it begins in the centre of the view. */
  #placePen() {
    const { stage } = this;
    const { width, height } = stage.places[0];
    this.#pen ??= { ...stage.viewport.toImage(width / 2, height / 2), down: false };
    this.#pen.x = Math.min(stage.size.width, Math.max(0, this.#pen.x));
    this.#pen.y = Math.min(stage.size.height, Math.max(0, this.#pen.y));
    this.#pen.radius = this.radius() ?? 0;
    return this.#pen;
  }

  forgetPen() {
    this.#pen = null;
    this.stage.setPen(null);
  }
}
