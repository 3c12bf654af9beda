// Web worker: grows, inverts and counts masks, writes them as PNG, reads them from pictures.
// Masks arrive and leave as packed tiles; see packing.js.

import { countComponents } from "./components.js";
import { growByOne } from "./morphology.js";
import { packTiles, unpackTiles } from "./packing.js";
import { encodeGray } from "./png.js";
import { FAINT, assemble, cut, extentOf } from "./tiles.js";

const BLOCK = 32; // px: damage needs its surroundings
const whole = ({ width, height }) => ({ left: 0, top: 0, right: width, bottom: height });

const TASKS = {
  grow({ tiles, width, height, ...how }) {
    const area = extentOf(tiles, width, height, 2);
    return cut(growByOne(assemble(area, tiles), area.right - area.left, area.bottom - area.top, how), area);
  },
  invert({ tiles, ...size }) {
    const plane = assemble(whole(size), tiles);
    for (let at = 0; at < plane.length; at++) plane[at] = 255 - plane[at];
    return cut(plane, whole(size));
  },
  join: ({ lists, ...size }) => cut(assemble(whole(size), ...lists), whole(size)),
  subtract({ tiles, minus, width, height }) {
    const area = extentOf(tiles, width, height);
    if (!area) return [];
    const [plane, taken] = [assemble(area, tiles), assemble(area, minus)];
    for (let at = 0; at < plane.length; at++) if (taken[at]) plane[at] = 0;
    return cut(plane, area);
  },
  measure,
  encode: ({ tiles, ...size }) => encodeGray(assemble(whole(size), tiles), size.width, size.height),
  fromGray: ({ blob, ...size }) => readPixels(blob, size, (data, index) => data[index]),
  fromTransparency: ({ blob, ...size }) => readPixels(blob, size, (data, index) => 255 - data[index + 3]),
};

self.onmessage = async ({ data: { id, task, tiles, minus, lists, ...given } }) => {
  try {
    const masks = { tiles: unpackTiles(tiles), minus: unpackTiles(minus), lists: lists.map(unpackTiles) };
    const result = await TASKS[task]({ ...masks, ...given });
    self.postMessage({ id, result: Array.isArray(result) ? packTiles(result) : result });
  } catch (error) {
    self.postMessage({ id, error: String(error?.message ?? error), code: error?.code, values: error?.values });
  }
};

/** Measure masks together: marked pixels, connected marks, and pixels within 32 to 64 px of a mark. */
function measure({ lists, width, height }) {
  const area = extentOf(lists.flat(), width, height);
  if (!area) return { pixels: 0, places: 0, around: 0 };
  const plane = assemble(area, ...lists);
  const [across, down] = [area.right - area.left, area.bottom - area.top];
  const [columns, rows] = [Math.ceil(across / BLOCK) + 2, Math.ceil(down / BLOCK) + 2];
  const blocks = new Uint8Array(columns * rows);
  let pixels = 0;
  for (let row = 0, at = 0; row < down; row++) {
    const start = (Math.floor(row / BLOCK) + 1) * columns + 1;
    for (let column = 0; column < across; column++, at++) {
      if (plane[at] <= FAINT) continue;
      pixels++;
      blocks[start + ((column / BLOCK) | 0)] = 255;
    }
  }
  const near = growByOne(blocks, columns, rows, { square: true }).reduce((sum, value) => sum + (value && 1), 0);
  return { pixels, places: countComponents(plane, across, down, FAINT), around: Math.min(near * BLOCK ** 2, width * height) };
}

/** One value for each pixel of a picture, computed from its RGBA samples. */
async function readPixels(blob, { width, height }, value) {
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  if (bitmap.width !== width || bitmap.height !== height) {
    const values = { mask_width: String(bitmap.width), mask_height: String(bitmap.height), width: String(width), height: String(height) };
    throw Object.assign(new Error(), { code: "mask_size", values });
  }
  const plane = new Uint8Array(width * height);
  const context = new OffscreenCanvas(width, Math.min(256, height)).getContext("2d", { willReadFrequently: true });
  for (let top = 0; top < height; top += 256) {
    const rows = Math.min(256, height - top);
    context.clearRect(0, 0, width, rows);
    context.drawImage(bitmap, 0, top, width, rows, 0, 0, width, rows);
    const { data } = context.getImageData(0, 0, width, rows);
    for (let index = 0, to = top * width; index < data.length; index += 4) plane[to++] = value(data, index);
  }
  bitmap.close();
  return cut(plane, whole({ width, height }));
}
