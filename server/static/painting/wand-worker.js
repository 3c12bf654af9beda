// Web worker: looks for damage in a photo, and keeps the slow intermediate results.

import { threshold, topHat } from "./detect.js";

const MOST_PIXELS = 40e6; // larger photos are searched at reduced size

let photo = null; // { blob, width, height, factor, brightness, darkest }
let responses = new Map();
let latest = 0;

self.onmessage = async ({ data }) => {
  latest = data.id;
  if (data.blob !== photo?.blob) {
    photo = null;
    responses = new Map();
    try {
      photo = await read(data.blob);
    } catch (error) {
      return self.postMessage({ id: data.id, error: String(error?.message ?? error) });
    }
  }
  await new Promise((resolve) => setTimeout(resolve)); // let newer requests arrive
  if (data.id === latest) suggest(data);
  else self.postMessage({ id: data.id, outdated: true });
};

function suggest({ id, kind, sensitivity, maxWidth }) {
  const { width, height, factor } = photo;
  const window = Math.max(3, Math.round(maxWidth / factor)) | 1;
  for (const key of responses.keys()) if (!key.endsWith(`:${window}`)) responses.delete(key);
  let found = null;
  for (const light of kind === "both" ? [true, false] : [kind === "light"]) {
    const key = `${light}:${window}`;
    if (!responses.has(key)) responses.set(key, topHat(light ? photo.brightness : photo.darkest, width, height, window, light));
    const damage = threshold(responses.get(key), width, height, sensitivity);
    if (!found) found = damage;
    else for (let index = 0; index < found.length; index++) found[index] |= damage[index];
  }
  self.postMessage({ id, values: found, width, factor }, [found.buffer]);
}

/** Brightness, and the darkest of the colours: ink of any colour is dark in one of them. */
async function read(blob) {
  const bitmap = await createImageBitmap(blob);
  const factor = Math.ceil(Math.sqrt((bitmap.width * bitmap.height) / MOST_PIXELS));
  const [width, height] = [Math.ceil(bitmap.width / factor), Math.ceil(bitmap.height / factor)];
  const [brightness, darkest] = [new Uint8Array(width * height), new Uint8Array(width * height)];
  const strip = Math.min(256, height);
  const context = new OffscreenCanvas(width, strip).getContext("2d", { willReadFrequently: true });
  for (let top = 0, to = 0; top < height; top += strip) {
    const rows = Math.min(strip, height - top);
    context.drawImage(bitmap, 0, top * factor, width * factor, rows * factor, 0, 0, width, rows);
    const { data } = context.getImageData(0, 0, width, rows);
    for (let index = 0; index < data.length; index += 4, to++) {
      const [red, green, blue] = [data[index], data[index + 1], data[index + 2]];
      brightness[to] = (77 * red + 150 * green + 29 * blue) >> 8;
      darkest[to] = Math.min(red, green, blue);
    }
  }
  bitmap.close();
  return { blob, width, height, factor, brightness, darkest };
}
