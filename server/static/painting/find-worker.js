// Web worker: keeps the levels of a detection, and marks the damage at a sensitivity.
//
// The picture of levels is RGB: red is the level of a pixel, green the kind of damage. A pixel is
// marked where its level is at least 256 - round(255 * sensitivity).

import { pack, packPlaces, unpackTiles } from "./packing.js";
import { TILE, cut } from "./tiles.js";

const MARKED = 255;
const STRIP = 256; // rows that are decoded at once

let found = []; // tiles with damage: { column, row, places, levels, kinds }, places being indices of its pixels
let size = { width: 0, height: 0 };

const TASKS = {
  load,
  mark: ({ minimum, kinds, dropped }) => mark(minimum, kinds, byPlace(unpackTiles(dropped))),
  markAt,
};

const byPlace = (tiles) => new Map(tiles.map(([column, row, data]) => [`${column},${row}`, data]));

self.onmessage = async ({ data: { id, task, ...given } }) => {
  try {
    const result = await TASKS[task](given);
    self.postMessage({ id, result });
  } catch (error) {
    self.postMessage({ id, error: String(error?.message ?? error) });
  }
};

/** Take the levels of a photo, and keep the tiles that have damage. */
async function load({ blob }) {
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  size = { width: bitmap.width, height: bitmap.height };
  const context = new OffscreenCanvas(size.width, Math.min(STRIP, size.height)).getContext("2d", { willReadFrequently: true });
  const planes = { 0: [], 1: [] };
  for (let top = 0; top < size.height; top += TILE) {
    const rows = Math.min(TILE, size.height - top);
    for (const channel of [0, 1]) planes[channel] = new Uint8Array(rows * size.width);
    for (let part = 0; part < rows; part += STRIP) {
      const height = Math.min(STRIP, rows - part);
      context.drawImage(bitmap, 0, top + part, size.width, height, 0, 0, size.width, height);
      const { data } = context.getImageData(0, 0, size.width, height);
      for (let from = 0, to = part * size.width; from < data.length; from += 4, to++) {
        planes[0][to] = data[from];
        planes[1][to] = data[from + 1];
      }
    }
    const area = { left: 0, top, right: size.width, bottom: top + rows };
    if (!top) found = [];
    const kinds = byPlace(cut(planes[1], area));
    for (const [column, row, levels] of cut(planes[0], area)) {
      const kind = kinds.get(`${column},${row}`);
      if (kind) found.push({ column, row, ...damageOf(levels, kind) });
    }
  }
  bitmap.close();
  return { ...size, empty: !found.length };
}

/** The pixels of a tile that are ever marked: few of all, so that the slider looks at few. */
function damageOf(levels, kinds) {
  const count = levels.reduce((sum, level) => sum + (level && 1), 0);
  const damage = { places: new Uint32Array(count), levels: new Uint8Array(count), kinds: new Uint8Array(count) };
  for (let place = 0, at = 0; at < count; place++) {
    if (!levels[place]) continue;
    damage.places[at] = place;
    damage.levels[at] = levels[place];
    damage.kinds[at++] = kinds[place];
  }
  return damage;
}

/** The marks at a sensitivity, as packed tiles; marks that the user dropped stay dropped. */
function mark(minimum, kinds, dropped) {
  const wanted = new Uint8Array(256);
  for (const kind of kinds) wanted[kind] = 1;
  const tiles = [];
  for (const { column, row, places, levels, kinds: kindsOf } of found) {
    const without = dropped.get(`${column},${row}`);
    const marked = places.filter((place, at) => levels[at] >= minimum && wanted[kindsOf[at]] && !(without && without[place] > 127));
    if (marked.length) tiles.push([column, row, packPlaces(marked, MARKED, TILE * TILE)]);
  }
  return tiles;
}

/** The connected mark nearest to a point, within a radius, as packed tiles; none where there is none. */
function markAt({ x, y, radius, tiles }) {
  const marked = byPlace(unpackTiles(tiles));
  const inside = (column, row) => column >= 0 && row >= 0 && column < size.width && row < size.height;
  const tileOf = (column, row) => marked.get(`${Math.floor(column / TILE)},${Math.floor(row / TILE)}`);
  const value = (column, row) => (inside(column, row) ? (tileOf(column, row)?.[(row % TILE) * TILE + (column % TILE)] ?? 0) : 0);
  let [nearest, least] = [null, radius ** 2 + 1];
  for (let row = Math.floor(y - radius); row <= y + radius; row++) {
    for (let column = Math.floor(x - radius); column <= x + radius; column++) {
      const distance = (column + 0.5 - x) ** 2 + (row + 0.5 - y) ** 2;
      if (distance < least && value(column, row)) [nearest, least] = [[column, row], distance];
    }
  }
  if (!nearest) return [];
  const taken = new Map();
  const stack = [nearest];
  const take = (column, row) => {
    const key = `${Math.floor(column / TILE)},${Math.floor(row / TILE)}`;
    if (!taken.has(key)) taken.set(key, new Uint8Array(TILE * TILE));
    const at = (row % TILE) * TILE + (column % TILE);
    if (taken.get(key)[at]) return;
    taken.get(key)[at] = MARKED;
    stack.push([column, row]);
  };
  take(...stack.pop());
  while (stack.length) {
    const [column, row] = stack.pop();
    for (let dy = -1; dy <= 1; dy++) {
      for (let dx = -1; dx <= 1; dx++) if (value(column + dx, row + dy)) take(column + dx, row + dy);
    }
  }
  return [...taken].map(([key, data]) => [...key.split(",").map(Number), pack(data)]);
}
