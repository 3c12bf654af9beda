// Web worker: decodes a photo and cuts it into tiles.

const TILE = 1024;

let last = Promise.resolve(); // one picture at a time
self.onmessage = ({ data }) => {
  last = last.then(() => open(data)).catch((error) => self.postMessage({ id: data.id, error: String(error?.message ?? error) }));
};

async function open({ id, blob }) {
  const bitmaps = [await createImageBitmap(blob)];
  const { width, height } = bitmaps[0];
  while (Math.max(bitmaps.at(-1).width, bitmaps.at(-1).height) > TILE) {
    const finer = bitmaps.at(-1);
    bitmaps.push(
      await createImageBitmap(finer, {
        resizeWidth: Math.max(1, Math.round(finer.width / 2)),
        resizeHeight: Math.max(1, Math.round(finer.height / 2)),
        resizeQuality: "medium",
      }),
    );
  }
  const levels = bitmaps.map((each) => ({ width: each.width, height: each.height, tile: TILE }));
  const transparent = blob.type !== "image/jpeg" && isTransparent(bitmaps[0]);
  self.postMessage({ id, width, height, levels, transparent });
  let first = true;
  for (let level = bitmaps.length - 1; level >= 0; level--) {
    const whole = bitmaps[level];
    for (let row = 0; row * TILE < whole.height; row++) {
      for (let column = 0; column * TILE < whole.width; column++) {
        const [x, y] = [column * TILE, row * TILE];
        const bitmap = await createImageBitmap(whole, x, y, Math.min(TILE, whole.width - x), Math.min(TILE, whole.height - y));
        self.postMessage({ id, level, column, row, bitmap, first }, [bitmap]);
        first = false;
      }
    }
    whole.close();
  }
  self.postMessage({ id, done: true });
}

function isTransparent(bitmap) {
  const strip = new OffscreenCanvas(bitmap.width, Math.min(256, bitmap.height));
  const context = strip.getContext("2d", { willReadFrequently: true });
  for (let top = 0; top < bitmap.height; top += strip.height) {
    context.clearRect(0, 0, strip.width, strip.height);
    context.drawImage(bitmap, 0, -top);
    const rows = Math.min(strip.height, bitmap.height - top);
    const { data } = context.getImageData(0, 0, strip.width, rows);
    for (let index = 3; index < data.length; index += 4) if (data[index] !== 255) return true;
  }
  return false;
}
