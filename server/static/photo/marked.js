// What is marked, in a sentence.

import { percent, text } from "../page/texts.js";

const TWO_DIGITS = { maximumSignificantDigits: 2 };
const LEAST = 0.0001;

/** The share of the photo that is marked, and the number of marks; or the first step. */
export function describeMarked(photo) {
  if (!photo?.hasDamage) return text("marked.none");
  if (photo.usesTransparency) return text("marked.transparent");
  const { measures, share } = photo;
  if (!measures) return "…";
  const shown = share < LEAST ? `< ${percent(LEAST, TWO_DIGITS)}` : percent(share, TWO_DIGITS);
  return text(photo.suggestion.empty ? "marked" : "marked.found", { share: shown, count: measures.places });
}
