// The options of a restoration: quality, texture, and under Advanced the network, the time limit and the seed.

import { chosen, element, make } from "../page/elements.js";
import { presetDescription, presetName } from "./words.js";

const QUALITIES = ["fast", "balanced", "best"];
const DEFAULT = "balanced";

export function startOptions() {
  element("texture").oninput = showTexture;
  element("new-seed").onclick = () => (element("seed").value = String(crypto.getRandomValues(new Uint32Array(1))[0]));
  showTexture();
}

/** Set the texture of repairs, a fraction from 0 to 1. */
export function setTexture(fraction) {
  element("texture").value = String(100 * fraction);
  showTexture();
}

function showTexture() {
  const slider = element("texture");
  const share = `${slider.value} %`;
  element("texture-shown").textContent = share;
  slider.setAttribute("aria-valuetext", share);
}

/**
 * Offer the presets of the service: those for photographers as Quality, the others under Advanced.
 *
 * @param presets their names
 */
export function offerPresets(presets) {
  const describe = (name) => (element("preset-about").textContent = presetDescription(name));
  const choice = (name) => {
    const radio = make("input", { type: "radio", name: "preset", value: name, checked: name === DEFAULT });
    radio.onchange = () => describe(name);
    return make("label", {}, radio, make("span", {}, presetName(name)));
  };
  element("presets").replaceChildren(...QUALITIES.map(choice));
  const others = presets.filter((name) => !QUALITIES.includes(name));
  element("other-presets").replaceChildren(...others.map(choice));
  describe(DEFAULT);
}

/** The options as parameters of a job. */
export function readOptions() {
  const minutes = Number(element("time").value);
  return {
    ...(minutes ? { time_s: String(60 * minutes) } : {}), // without a number there is no limit
    network: chosen("network"),
    preset: chosen("preset"),
    texture: String(element("texture").value / 100),
    seed: element("seed").value || "0",
  };
}
