// Submits a restoration of the open photo.

import { element } from "../page/elements.js";
import { busy } from "../page/messages.js";
import { percent, text } from "../page/texts.js";
import { submitJob } from "../service/api.js";
import { rememberName } from "./words.js";

/**
 * Submit the marked damage, found damage included.
 *
 * @param options of the job, as readOptions returns them
 * @param mostMarked the share above which the user is asked
 * @returns the job, or null if the user goes back
 */
export async function submit(photo, options, mostMarked) {
  if (!photo.usesTransparency) {
    if (!photo.suggestion.empty) await photo.acceptSuggestion();
    if (!photo.measures) await photo.measureNow();
    if (photo.share > mostMarked) {
      const answer = await askAboutMask(photo.share);
      if (answer === "invert") await photo.invertMask();
      if (answer !== "restore") return null;
      options.mask_confirmed = true;
    }
  }
  const marks = photo.mask.list;
  const mask = await photo.encodeMask();
  const job = await busy(text("busy.sending"), submitJob({ image: photo.file, name: photo.name, mask, ...options }));
  rememberName(job);
  photo.jobs.set(job.id, marks);
  return job;
}

/** Ask whether a mask that marks most of the photo is meant: "back", "invert" or "restore". */
async function askAboutMask(share) {
  const dialog = element("inverted");
  element("inverted-about").textContent = text("inverted.about", { share: percent(share) });
  dialog.returnValue = "back";
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  return dialog.returnValue;
}
