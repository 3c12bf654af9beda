// Messages to the user: a note for some seconds, a sentence for screen readers, a "busy" label.

import { element, make } from "./elements.js";
import { hasText, text } from "./texts.js";

const SHOWN_MS = 7000;
const BUSY_AFTER_MS = 150;

/**
 * Show a text for some seconds.
 *
 * @param action { text, run }: a button beside the text
 * @param onEnd called when the text has disappeared without that button
 */
export function toast(message, { action, onEnd = () => {} } = {}) {
  const shown = make("div", { className: "toast" }, message);
  const end = (finish) => () => {
    clearTimeout(timer);
    shown.remove();
    finish();
  };
  const timer = setTimeout(() => end(onEnd)(), SHOWN_MS);
  if (action) shown.append(make("button", { type: "button", className: "small", onclick: end(action.run) }, action.text));
  element("toasts").append(shown);
}

/** Show an error: its message and its hint. */
export function showError(error) {
  console.info(error);
  toast(errorText(error));
}

/** An error in the language of the page where its code has a text; else as the service words it, in English. */
export function errorText({ code, message, hint }) {
  const own = `service.${code}`;
  if (code && hasText(own)) return text(own);
  return [message, hint].filter(Boolean).join(" ");
}

/** Tell screen readers something that others see. */
export function announce(message) {
  element("announcement").textContent = message;
}

/** Show a text while a promise is pending, unless it resolves at once. */
export async function busy(message, promise) {
  const shown = element("busy");
  const timer = setTimeout(() => {
    shown.textContent = message;
    shown.hidden = false;
  }, BUSY_AFTER_MS);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    shown.hidden = true;
  }
}
