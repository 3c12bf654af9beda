// Messages to the user: a note for some seconds, a sentence for screen readers, a "busy" label.

import { element, make } from "./elements.js";

const SHOWN_MS = 7000;
const BUSY_AFTER_MS = 150;

/** Show a text for some seconds. */
export function toast(text) {
  const shown = make("div", { className: "toast" }, text);
  element("toasts").append(shown);
  setTimeout(() => shown.remove(), SHOWN_MS);
}

/** Show an error: its message and its hint. */
export function showError(error) {
  console.info(error);
  toast([error.message, error.hint].filter(Boolean).join(" "));
}

/** Tell screen readers something that others see. */
export function announce(text) {
  element("announcement").textContent = text;
}

/** Show a text while a promise is pending, unless it resolves at once. */
export async function busy(text, promise) {
  const shown = element("busy");
  const timer = setTimeout(() => {
    shown.textContent = text;
    shown.hidden = false;
  }, BUSY_AFTER_MS);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    shown.hidden = true;
  }
}
