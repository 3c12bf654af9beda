// What the page tells: in passing, for good, and to those who listen instead of look.

const SHOWN_MS = 7000;

export const element = (id) => document.getElementById(id);

/** Make an element: make("p", { className: "muted" }, "text", child). */
export function make(name, properties = {}, ...children) {
  const { dataset = {}, attributes = {}, ...rest } = properties;
  const made = Object.assign(document.createElement(name), rest);
  Object.assign(made.dataset, dataset);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** Say something for a while. */
export function toast(text, action) {
  const shown = make("div", { className: "toast" }, text);
  if (action) {
    const button = make("button", { type: "button" }, action.label);
    button.onclick = () => {
      shown.remove();
      action.run();
    };
    shown.append(button);
  }
  element("toasts").append(shown);
  setTimeout(() => shown.remove(), SHOWN_MS);
}

/** Say why something did not work, and what to do. */
export function complain(error) {
  console.info(error);
  toast([error.message, error.hint].filter(Boolean).join(" "));
}

/** Say something to a screen reader only. */
export function say(text) {
  element("said").textContent = text;
}

/** Show that something takes a moment. */
export async function busy(text, work) {
  const shown = element("busy");
  const wait = setTimeout(() => {
    shown.textContent = text;
    shown.hidden = false;
  }, 150);
  try {
    return await work;
  } finally {
    clearTimeout(wait);
    shown.hidden = true;
  }
}

/** Seconds, for a person: "a few seconds", "50 s", "4 min", "1 h 20 min". */
export function duration(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Bytes, for a person. */
export const fileSize = (bytes) => (bytes < 1e6 ? `${Math.ceil(bytes / 1000)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);
