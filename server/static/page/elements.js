// Short names for the elements of the page.

export const element = (id) => document.getElementById(id);

/** Make an element: make("p", { className: "muted" }, "text", child). */
export function make(name, { attributes = {}, ...properties } = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** The value of the radio button that is checked in a group. */
export const chosen = (name) => [...document.getElementsByName(name)].find((radio) => radio.checked)?.value;
