// The texts of the page: one catalogue a language, in texts/. The browser's language is chosen,
// unless the user has chosen another.

export const LANGUAGES = { en: "English", de: "Deutsch", es: "Español", fr: "Français", it: "Italiano", "pt-BR": "Português (Brasil)", ja: "日本語" };
const CHOICE = "dip-language";
const ATTRIBUTES = { title: "title", label: "aria-label", placeholder: "placeholder" };

let catalogue = {};
let plurals;
export let language = "en";

/** The catalogue for the languages that a person prefers, the best first. */
export function bestLanguage(preferred) {
  const names = Object.keys(LANGUAGES);
  const primary = (name) => name.toLowerCase().split("-")[0];
  for (const wanted of preferred) {
    const found = names.find((name) => name === wanted) ?? names.find((name) => primary(name) === primary(wanted));
    if (found) return found;
  }
  return "en";
}

/** Load the catalogue, fill the page with it, and offer the other languages. */
export async function loadTexts() {
  const asked = localStorage.getItem(CHOICE);
  language = bestLanguage(asked ? [asked, ...navigator.languages] : navigator.languages);
  plurals = new Intl.PluralRules(language);
  const file = new URL(`../texts/${language.toLowerCase()}.json`, import.meta.url);
  catalogue = await (await fetch(file)).json();
  document.documentElement.lang = language;
  fillTexts(document);
  const choice = document.getElementById("language");
  choice.replaceChildren(...Object.entries(LANGUAGES).map(([name, own]) => new Option(own, name, false, name === language)));
  choice.onchange = () => {
    localStorage.setItem(CHOICE, choice.value);
    location.reload(); // the photo and its mask are kept
  };
  document.body.classList.remove("untitled");
}

/** Fill the elements that name a text: data-text, data-title, data-label, data-placeholder. */
function fillTexts(root) {
  for (const each of root.querySelectorAll("[data-text]")) each.textContent = text(each.dataset.text);
  for (const [name, attribute] of Object.entries(ATTRIBUTES)) {
    for (const each of root.querySelectorAll(`[data-${name}]`)) each.setAttribute(attribute, text(each.dataset[name]));
  }
}

/**
 * A text of the catalogue.
 *
 * @param values for the names in braces; `count` also chooses between singular and plural
 */
export function text(key, values = {}) {
  let found = catalogue[key];
  if (found === undefined) throw new Error(`There is no text ${key}.`);
  if (typeof found === "object") found = found[plurals.select(values.count)] ?? found.other;
  const shown = (value) => (typeof value === "number" ? number(value) : value);
  return found.replace(/\{(\w+)\}/g, (_, name) => shown(values[name]));
}

export const hasText = (key) => key in catalogue;

/** A number as the language writes it. */
export const number = (value, options) => value.toLocaleString(language, options);

/** A share from 0 to 1 as "35 %". */
export const percent = (share, options = { maximumFractionDigits: 0 }) => number(share, { style: "percent", useGrouping: false, ...options });
