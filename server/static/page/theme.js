// Dark or light colours: the button, and the choice that the browser remembers.

import { element } from "./elements.js";
import { toast } from "./messages.js";
import { text } from "./texts.js";

const THEMES = ["auto", "dark", "light"];

const current = () => localStorage.getItem("dip-theme") ?? "auto";

function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  localStorage.setItem("dip-theme", theme);
  element("theme").title = text(`theme.${theme}`);
}

export function startTheme() {
  element("theme").onclick = () => {
    setTheme(THEMES[(THEMES.indexOf(current()) + 1) % THEMES.length]);
    toast(text(`theme.${current()}`));
  };
  setTheme(current());
}
