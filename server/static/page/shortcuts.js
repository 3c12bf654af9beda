// Keyboard shortcuts, and the dialog that lists them.

import { element, make } from "./elements.js";
import { text } from "./texts.js";

/** [keys as shown, text of the meaning, keys as pressed, name of the action, action at the release] */
const SHORTCUTS = [
  ["B", "tool.brush", ["b"], "brush"],
  ["E", "tool.eraser", ["e"], "eraser"],
  ["R", "tool.rectangle", ["r"], "rectangle"],
  ["L", "tool.lasso", ["l"], "lasso"],
  ["W", "tool.find", ["w"], "find"],
  ["H", "tool.hand", ["h"], "hand"],
  ["@space", "key.space"],
  ["[  ]", "key.alt_wheel", ["["], "smaller"],
  ["@alt_wheel", "key.alt_wheel"],
  [null, null, ["]"], "larger"],
  ["@shift_click", "key.shift_click"],
  ["@click", "key.drop"],
  ["Alt", "key.alt"],
  ["G", "grow.title", ["g"], "grow"],
  ["Shift G", "shrink.title", ["G"], "shrink"],
  ["Delete", "clear.title", ["Delete"], "clear"],
  ["M", "show_mask", ["m"], "showMask"],
  ["C", "key.compare", ["c", "C"], "peek", "unpeek"],
  ["Ctrl Z", "undo", ["ctrl+z"], "undo"],
  ["Ctrl Shift Z", "redo", ["ctrl+Z", "ctrl+y"], "redo"],
  ["Enter", "key.accept", ["Enter"], "accept"],
  ["Esc", "key.escape", ["Escape"], "escape"],
  ["+  −", "key.zoom", ["+", "="], "zoomIn"],
  [null, null, ["-"], "zoomOut"],
  ["0", "zoom_fit.title", ["0"], "fit"],
  ["1", "zoom_full.title", ["1"], "full"],
  ["Ctrl O", "open.title", ["ctrl+o"], "open"],
  ["Ctrl Enter", "restore", ["ctrl+Enter"], "restore"],
  ["@arrows", "key.arrows"],
  ["← →", "key.divider"],
  ["?", "key.help", ["?"], "help"],
];

/** Call `actions[name]` when its key is pressed, and fill the dialog. */
export function startShortcuts(actions) {
  const byKey = new Map(SHORTCUTS.flatMap(([, , keys = [], ...names]) => keys.map((key) => [key, names])));
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || document.querySelector("dialog[open]")) return;
    const { target } = event;
    const control = event.ctrlKey || event.metaKey;
    const types = target.matches("input[type=number], input[type=password], select") && !control;
    const pressesControl = target.matches("button, a, input, summary") && ["Enter", " "].includes(event.key) && !control;
    if (types || pressesControl) return;
    const [name] = byKey.get(control ? `ctrl+${event.key}` : event.key) ?? [];
    if (!name || event.altKey) return;
    event.preventDefault();
    actions[name]();
  });
  document.addEventListener("keyup", (event) => {
    const [, released] = byKey.get(event.key) ?? [];
    if (released) actions[released]();
  });
  const list = element("shortcut-list");
  for (const [keys, meaning] of SHORTCUTS) {
    if (!keys) continue;
    const shown = keys.startsWith("@") ? [text(`key.names.${keys.slice(1)}`)] : keys.split("  ");
    const plain = text(meaning).replace(/ \([^()]*\)\.?$/, ""); // a tooltip without its key
    list.append(make("dt", {}, ...shown.map((key) => make("kbd", {}, key))), make("dd", {}, plain));
  }
}
