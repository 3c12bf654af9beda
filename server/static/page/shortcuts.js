// Keyboard shortcuts, and the dialog that lists them.

import { element, make } from "./elements.js";

/** [keys as shown, meaning, keys as pressed, name of the action] */
const SHORTCUTS = [
  ["B", "Brush", ["b"], "brush"],
  ["E", "Eraser", ["e"], "eraser"],
  ["R", "Rectangle", ["r"], "rectangle"],
  ["L", "Lasso", ["l"], "lasso"],
  ["W", "Wand: find damage", ["w"], "wand"],
  ["H", "Move the photo (or hold Space)", ["h"], "hand"],
  ["[  ]", "Smaller, larger brush", ["["], "smaller"],
  [null, null, ["]"], "larger"],
  ["Alt", "Unmark instead of mark, while you draw"],
  ["G", "Grow the mask", ["g"], "grow"],
  ["Shift G", "Shrink the mask", ["G"], "shrink"],
  ["Delete", "Clear the mask", ["Delete"], "clear"],
  ["M", "Show or hide the mask", ["m"], "showMask"],
  ["Ctrl Z", "Undo", ["ctrl+z"], "undo"],
  ["Ctrl Shift Z", "Redo (or Ctrl Y)", ["ctrl+Z", "ctrl+y"], "redo"],
  ["Enter", "Accept the wand's suggestion", ["Enter"], "accept"],
  ["Esc", "Discard the suggestion; back to painting", ["Escape"], "escape"],
  ["+  −", "Zoom", ["+", "="], "zoomIn"],
  [null, null, ["-"], "zoomOut"],
  ["0", "Fit the photo into the window", ["0"], "fit"],
  ["1", "Show full size", ["1"], "full"],
  ["Ctrl O", "Open a photo", ["ctrl+o"], "open"],
  ["Ctrl Enter", "Restore", ["ctrl+Enter"], "restore"],
  ["Arrows, Enter", "On the photo: move the pen, put it down, lift it"],
  ["← →", "On the line between before and after: move it"],
  ["?", "Show this list", ["?"], "help"],
];

/** Call `actions[name]` when its key is pressed, and fill the dialog. */
export function startShortcuts(actions) {
  const byKey = new Map(SHORTCUTS.flatMap(([, , keys = [], name]) => keys.map((key) => [key, actions[name]])));
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || document.querySelector("dialog[open]")) return;
    const { target } = event;
    const control = event.ctrlKey || event.metaKey;
    const types = target.matches("input[type=number]") && !control;
    const pressesControl = target.matches("button, a, input, summary") && ["Enter", " "].includes(event.key) && !control;
    if (types || pressesControl) return;
    const action = byKey.get(control ? `ctrl+${event.key}` : event.key);
    if (!action || event.altKey) return;
    event.preventDefault();
    action();
  });
  const list = element("shortcut-list");
  for (const [shown, meaning] of SHORTCUTS) {
    if (!shown) continue;
    const keys = shown.split("  ").map((key) => make("kbd", {}, key));
    list.append(make("dt", {}, ...keys), make("dd", {}, meaning));
  }
}
