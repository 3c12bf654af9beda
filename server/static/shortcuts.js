// The keyboard, and the page that lists it.

import { element, make } from "./messages.js";

/** What every key does: [keys as shown, what for, keys as pressed, name of the action]. */
const KEYS = [
  ["B", "brush", ["b"], "brush"],
  ["E", "eraser", ["e"], "eraser"],
  ["R", "rectangle", ["r"], "rectangle"],
  ["L", "lasso", ["l"], "lasso"],
  ["W", "wand: find damage", ["w"], "wand"],
  ["H", "move the photo; or hold Space", ["h"], "hand"],
  ["[  ]", "smaller, larger brush", ["["], "smaller"],
  [null, null, ["]"], "larger"],
  ["Alt", "take away instead of add, while drawing"],
  ["G", "grow the mask", ["g"], "grow"],
  ["Shift G", "shrink the mask", ["G"], "shrink"],
  ["Delete", "clear the mask", ["Delete"], "clear"],
  ["M", "show or hide the mask", ["m"], "showMask"],
  ["Ctrl Z", "undo", ["ctrl+z"], "undo"],
  ["Ctrl Shift Z", "redo; or Ctrl Y", ["ctrl+Z", "ctrl+y"], "redo"],
  ["Enter", "accept what the wand suggests", ["Enter"], "accept"],
  ["Esc", "discard it; back to painting", ["Escape"], "escape"],
  ["+  −", "zoom", ["+", "="], "zoomIn"],
  [null, null, ["-"], "zoomOut"],
  ["0", "fit", ["0"], "fit"],
  ["1", "one to one", ["1"], "full"],
  ["Ctrl O", "open a photo", ["ctrl+o"], "open"],
  ["Ctrl Enter", "restore", ["ctrl+Enter"], "restore"],
  ["Arrows, Enter", "on the photo: move the pen; down and up"],
  ["← →", "on the line: before and after"],
  ["?", "this list", ["?"], "help"],
];

export function listen(actions) {
  const byKey = new Map(KEYS.flatMap(([, , keys = [], action]) => keys.map((key) => [key, actions[action]])));
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || document.querySelector("dialog[open]")) return;
    const { target } = event;
    const control = event.ctrlKey || event.metaKey;
    const types = target.matches("input[type=number]") && !control;
    const pressesButton = target.matches("button, a, input") && ["Enter", " "].includes(event.key) && !control;
    if (types || pressesButton) return;
    const action = byKey.get(control ? `ctrl+${event.key}` : event.key);
    if (!action || event.altKey) return;
    event.preventDefault();
    action();
  });
  const list = element("shortcut-list");
  for (const [shown, meaning] of KEYS) {
    if (!shown) continue;
    const keys = shown.split("  ").map((key) => make("kbd", {}, key));
    list.append(make("dt", {}, ...keys), make("dd", {}, meaning));
  }
}
