// Web worker: grows and shrinks masks, writes them as PNG, reads them from pictures.

import { growByOne } from "./morphology.js";
import { encodeGray } from "./png.js";

const TASKS = {
  grow: ({ values, width, height, ...how }) => growByOne(values, width, height, how),
  encode: ({ values, width, height }) => encodeGray(values, width, height),
  fromGray: ({ blob, width, height }) => readPixels(blob, width, height, (data, index) => data[index]),
  fromTransparency: ({ blob, width, height }) => readPixels(blob, width, height, (data, index) => 255 - data[index + 3]),
};

self.onmessage = async ({ data: { id, task, ...given } }) => {
  try {
    const result = await TASKS[task](given);
    self.postMessage({ id, result }, result instanceof Uint8Array ? [result.buffer] : []);
  } catch (error) {
    self.postMessage({ id, error: String(error?.message ?? error) });
  }
};

/** One value for each pixel of a picture, computed from its RGBA samples. */
async function readPixels(blob, width, height, value) {
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  if (bitmap.width !== width || bitmap.height !== height) {
    throw new Error(
      `The mask has ${bitmap.width} × ${bitmap.height} px, the photo ${width} × ${height} px. Choose a mask of the photo's size.`,
    );
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
