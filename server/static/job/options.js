// The options of a restoration: quality, texture, and under Advanced the network, the time limit and the seed.

import { chosen, element, make } from "../page/elements.js";
import { percent } from "../page/texts.js";
import { presetDescription, presetName } from "./words.js";

const QUALITIES = ["fast", "balanced", "best"];
const DEFAULT = "balanced";
const KEPT = "dip-options"; // over a reload, by each tab
const FIELDS = ["texture", "time", "seed"];
const CHOICES = ["network", "preset"];

let onChange = () => {};

/** @param changed called when an option has changed */
export function startOptions(changed) {
  onChange = changed;
  element("texture").oninput = showTexture;
  element("new-seed").onclick = () => {
    element("seed").value = String(crypto.getRandomValues(new Uint32Array(1))[0]);
    keep();
  };
  element("options-panel").addEventListener("change", keep);
  showTexture();
}

/** Set the texture of repairs, a fraction from 0 to 1. */
export function setTexture(fraction) {
  element("texture").value = String(100 * fraction);
  showTexture();
}

/** Have jobs restore damage that their marks left at the rim, too. */
export function includeRims() {
  element("rim").checked = true;
  keep();
}

function showTexture() {
  const slider = element("texture");
  const share = percent(slider.value / 100);
  element("texture-shown").textContent = share;
  slider.setAttribute("aria-valuetext", share);
}

/**
 * Offer the presets of the service: those for photographers as Quality, the others under Advanced.
 *
 * @param presets their names
 */
export function offerPresets(presets) {
  const choice = (name) => {
    const radio = make("input", { type: "radio", name: "preset", value: name, checked: name === DEFAULT });
    radio.onchange = describePreset;
    return make("label", {}, radio, make("span", {}, presetName(name)));
  };
  element("presets").replaceChildren(...QUALITIES.map(choice));
  const others = presets.filter((name) => !QUALITIES.includes(name));
  element("other-presets").replaceChildren(...others.map(choice));
  describePreset();
}

const describePreset = () => (element("preset-about").textContent = presetDescription(chosen("preset")));

/** Take the options that this tab had before it was loaded. */
export function keepOptions() {
  const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "{}");
  for (const name of FIELDS) if (name in kept) element(name).value = kept[name];
  element("rim").checked = Boolean(kept.rim);
  for (const name of CHOICES) {
    for (const radio of document.getElementsByName(name)) if (radio.value === kept[name]) radio.checked = true;
  }
  showTexture();
  describePreset();
}

function keep() {
  if (!chosen("preset")) return; // the service has not answered yet
  const values = [...FIELDS.map((name) => [name, element(name).value]), ...CHOICES.map((name) => [name, chosen(name)])];
  sessionStorage.setItem(KEPT, JSON.stringify({ ...Object.fromEntries(values), rim: element("rim").checked }));
  onChange();
}

/** The options as parameters of a job. */
export function readOptions() {
  const minutes = Number(element("time").value);
  return {
    ...(element("rim").checked ? { grow: "auto" } : {}),
    ...(minutes ? { time_s: String(60 * minutes) } : {}), // without a number there is no limit
    network: chosen("network"),
    preset: chosen("preset"),
    texture: String(element("texture").value / 100),
    seed: element("seed").value || "0",
  };
}
