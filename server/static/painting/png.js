// Writes a gray PNG of 8 bits with exact values; a canvas would convert their colours.

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

/** @param values row by row; @returns {Promise<Blob>} */
export async function encodeGray(values, width, height) {
  const lines = new Uint8Array((width + 1) * height); // each begins with 0: no filter
  for (let row = 0; row < height; row++) lines.set(values.subarray(row * width, (row + 1) * width), row * (width + 1) + 1);
  const packed = new Blob([lines]).stream().pipeThrough(new CompressionStream("deflate"));
  const pixels = new Uint8Array(await new Response(packed).arrayBuffer());
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  header.setUint8(8, 8); // bits, and colour type 0: gray
  const signature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
  const parts = [signature, ...chunk("IHDR", new Uint8Array(header.buffer)), ...chunk("IDAT", pixels), ...chunk("IEND", new Uint8Array())];
  return new Blob(parts, { type: "image/png" });
}

function chunk(name, data) {
  const kind = Uint8Array.from(name, (letter) => letter.charCodeAt(0));
  let sum = 0xffffffff;
  for (const part of [kind, data]) for (const byte of part) sum = CRC_TABLE[(sum ^ byte) & 255] ^ (sum >>> 8);
  const number = (value) => {
    const view = new DataView(new ArrayBuffer(4));
    view.setUint32(0, value);
    return new Uint8Array(view.buffer);
  };
  return [number(data.length), kind, data, number(sum ^ 0xffffffff)];
}
