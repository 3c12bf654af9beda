// Looks for damage in a photo, away from the page; keeps what is slow to work out.

import { standOut, take } from "./detect.js";

const MOST_PIXELS = 40e6; // larger photos are looked at reduced

let photo = null; // { blob, width, height, factor, bright, dark }
let responses = new Map();
let latest = 0;

self.onmessage = async ({ data }) => {
  latest = data.id;
  if (data.blob && data.blob !== photo?.blob) {
    photo = null;
    responses = new Map();
    try {
      photo = await read(data.blob);
    } catch (error) {
      return self.postMessage({ id: data.id, error: String(error?.message ?? error) });
    }
  }
  await new Promise((resolve) => setTimeout(resolve)); // a slider may have moved on meanwhile
  if (data.id === latest) suggest(data);
  else self.postMessage({ id: data.id, overtaken: true });
};

function suggest({ id, kind, sensitivity, widest }) {
  const { width, height, factor } = photo;
  const window = Math.max(3, Math.round(widest / factor)) | 1;
  for (const key of responses.keys()) if (!key.endsWith(`:${window}`)) responses.delete(key);
  let found = null;
  for (const light of kind === "both" ? [true, false] : [kind === "light"]) {
    const key = `${light}:${window}`;
    if (!responses.has(key)) responses.set(key, standOut(light ? photo.bright : photo.dark, width, height, window, light));
    const taken = take(responses.get(key), width, height, sensitivity);
    if (!found) found = taken;
    else for (let index = 0; index < found.length; index++) found[index] |= taken[index];
  }
  self.postMessage({ id, values: found, width, height, factor }, [found.buffer]);
}

/** Brightness, and the darkest of the colours: ink of any colour is dark in one of them. */
async function read(blob) {
  const bitmap = await createImageBitmap(blob);
  const factor = Math.ceil(Math.sqrt((bitmap.width * bitmap.height) / MOST_PIXELS));
  const [width, height] = [Math.ceil(bitmap.width / factor), Math.ceil(bitmap.height / factor)];
  const [bright, dark] = [new Uint8Array(width * height), new Uint8Array(width * height)];
  const rows = Math.min(256, height);
  const context = new OffscreenCanvas(width, rows).getContext("2d", { willReadFrequently: true });
  for (let top = 0, to = 0; top < height; top += rows) {
    const some = Math.min(rows, height - top);
    context.drawImage(bitmap, 0, top * factor, width * factor, some * factor, 0, 0, width, some);
    const { data } = context.getImageData(0, 0, width, some);
    for (let index = 0; index < data.length; index += 4, to++) {
      const [red, green, blue] = [data[index], data[index + 1], data[index + 2]];
      bright[to] = (77 * red + 150 * green + 29 * blue) >> 8;
      dark[to] = Math.min(red, green, blue);
    }
  }
  bitmap.close();
  return { blob, width, height, factor, bright, dark };
}
