// What takes long with masks: growing, shrinking, writing a file, reading one.

import { grow } from "./morphology.js";
import { encodeGray } from "./png.js";

self.onmessage = async ({ data: { id, what, ...given } }) => {
  try {
    const answer = await WAYS[what](given);
    self.postMessage({ id, answer }, answer instanceof Uint8Array ? [answer.buffer] : []);
  } catch (error) {
    self.postMessage({ id, error: String(error?.message ?? error) });
  }
};

const WAYS = {
  grow: ({ values, width, height, px }) => grow(values, width, height, px),
  encode: ({ values, width, height }) => encodeGray(values, width, height),
  gray: ({ blob, width, height }) => channel(blob, width, height, (data, index) => data[index]),
  // What is transparent is to be restored.
  holes: ({ blob, width, height }) => channel(blob, width, height, (data, index) => 255 - data[index + 3]),
};

/** One value for each pixel of a picture. */
async function channel(blob, width, height, value) {
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  if (bitmap.width !== width || bitmap.height !== height) {
    throw new Error(`The mask is ${bitmap.width} × ${bitmap.height} px, the photo ${width} × ${height} px. They must be of the same size.`);
  }
  const values = new Uint8Array(width * height);
  const context = new OffscreenCanvas(width, Math.min(256, height)).getContext("2d", { willReadFrequently: true });
  for (let top = 0; top < height; top += 256) {
    const rows = Math.min(256, height - top);
    context.clearRect(0, 0, width, rows);
    context.drawImage(bitmap, 0, top, width, rows, 0, 0, width, rows);
    const { data } = context.getImageData(0, 0, width, rows);
    for (let index = 0, to = top * width; index < data.length; index += 4) values[to++] = value(data, index);
  }
  bitmap.close();
  return values;
}
