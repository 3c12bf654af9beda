// The colours of marks over a photo: by default those that differ most from the photo's own.

const COLOURS = { red: [255, 64, 58], green: [40, 215, 80], blue: [40, 120, 255], yellow: [255, 222, 30], magenta: [255, 60, 230] };
const SAMPLE_PX = 48;
const PALE = "yellow"; // hardly seen on scratches and dust, which are mostly white
const FEW = 0.1; // of the pixels may be near the colour
const CHOICE = "dip-mask-colour";

const names = Object.keys(COLOURS);
const distance = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);

/** The names of the colours that are chosen by themselves, the one that differs most from the photo first. */
function rank(picture) {
  const { tiles } = picture.levels.at(-1);
  const context = new OffscreenCanvas(SAMPLE_PX, SAMPLE_PX).getContext("2d", { willReadFrequently: true });
  context.drawImage(tiles[0][0], 0, 0, SAMPLE_PX, SAMPLE_PX);
  const { data } = context.getImageData(0, 0, SAMPLE_PX, SAMPLE_PX);
  const contrast = (name) => {
    const distances = [];
    for (let at = 0; at < data.length; at += 4) distances.push(distance(COLOURS[name], [data[at], data[at + 1], data[at + 2]]));
    return distances.sort((a, b) => a - b)[Math.floor(FEW * distances.length)];
  };
  const contrasts = Object.fromEntries(names.map((name) => [name, contrast(name)]));
  return names.filter((name) => name !== PALE).toSorted((a, b) => contrasts[b] - contrasts[a]);
}

/** "auto", or the name of the colour that the user has chosen. */
export const colourChoice = () => localStorage.getItem(CHOICE) ?? "auto";

/** Choose the next colour. */
export function chooseNextColour() {
  const choices = ["auto", ...names];
  localStorage.setItem(CHOICE, choices[(choices.indexOf(colourChoice()) + 1) % choices.length]);
}

/** The colours of the mask and of the found damage over a picture: { mask, suggestion }. */
export function overlayColours(picture) {
  const ranked = rank(picture);
  const chosen = colourChoice() === "auto" ? ranked[0] : colourChoice();
  const others = ranked.filter((name) => name !== chosen);
  // Among the colours that contrast with the photo, the one that differs most from the mask's.
  const second = others.slice(0, 3).reduce((a, b) => (distance(COLOURS[b], COLOURS[chosen]) > distance(COLOURS[a], COLOURS[chosen]) ? b : a));
  return { mask: COLOURS[chosen], suggestion: COLOURS[second] };
}
