// Results as files: their names, the download links, and a file to continue from.

import { element, make } from "../page/elements.js";
import { text } from "../page/texts.js";
import { fileSize, sampleDepth } from "../page/units.js";
import { request } from "../service/api.js";
import { networkName, photoName } from "./words.js";

const SUFFIXES = { png: ".png", tiff: ".tif", webp: ".webp", jpeg: ".jpg" };

/** A name such as photo_restored.png; with the network where there are several results. */
function fileName(job, result) {
  const name = photoName(job.id).replace(/\.[a-z]+$/i, "");
  const network = job.results.length > 1 ? `_${result.network}` : "";
  return `${name}_restored${network}${SUFFIXES[result.format] ?? ""}`;
}

export function showDownloads(job) {
  const links = job.results.map((result) => {
    const details = `${result.format.toUpperCase()} · ${sampleDepth(result.samples)} · ${fileSize(result.bytes)}`;
    const label = job.results.length > 1 ? text("download.network", { network: networkName(result.network) }) : text("download");
    return make("a", { className: "download", href: result.url, download: fileName(job, result) }, label, make("small", {}, details));
  });
  element("downloads").replaceChildren(...links);
}

export async function fetchResult(job, result) {
  return { blob: await (await request(result.url)).blob(), name: fileName(job, result) };
}
