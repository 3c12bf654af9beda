// Dark or light colours: the button, and the choice that the browser remembers.

import { element } from "./elements.js";
import { toast } from "./messages.js";

const THEMES = { auto: "Dark or light, as the system", dark: "Dark", light: "Light" };

const current = () => localStorage.getItem("dip-theme") ?? "auto";

function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  localStorage.setItem("dip-theme", theme);
  element("theme").title = THEMES[theme];
}

export function startTheme() {
  const names = Object.keys(THEMES);
  element("theme").onclick = () => {
    setTheme(names[(names.indexOf(current()) + 1) % names.length]);
    toast(THEMES[current()]);
  };
  setTheme(current());
}
