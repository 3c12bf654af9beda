// Opens a photo file. Pictures that browsers may decode differently from the engine are converted
// by the service, so that page and job get the same pixels.

import { sampleDepth } from "../page/units.js";
import { convertForDisplay } from "../service/api.js";
import { overlayColours } from "../view/overlay-colour.js";
import { openPicture } from "../view/picture.js";
import { Photo } from "./photo.js";

const HEADER_BYTES = 64 * 1024;

/** @param onTile called as the picture gets sharper; see openPicture */
export async function openPhoto(file, name, onTile) {
  const format = browserFormat(new DataView(await file.slice(0, HEADER_BYTES).arrayBuffer()));
  let source = format ? { blob: withType(file, format.type), depth: format.depth } : await convert(file);
  const picture = await openPicture(source.blob, onTile).catch(async (error) => {
    if (!format) throw error;
    source = await convert(file); // the file is damaged: the service names the fault
    return openPicture(source.blob, onTile);
  });
  return new Photo({ file, name, picture, colours: overlayColours(picture), ...source });
}

async function convert(file) {
  const { blob, samples } = await convertForDisplay(file, "photo");
  return { blob, depth: sampleDepth(samples) };
}

/** A blob with the right type, which decides whether transparency is looked for. */
const withType = (file, type) => (file.type === type ? file : new Blob([file], { type }));

/**
 * Type and depth of a file that every browser decodes as the engine does: JPEG, and PNG and WebP
 * without EXIF, since not every browser obeys an orientation in these. Null for other files.
 */
function browserFormat(header) {
  const text = (at, length) => {
    let letters = "";
    for (let index = at; index < Math.min(at + length, header.byteLength); index++) letters += String.fromCharCode(header.getUint8(index));
    return letters;
  };
  if (text(0, 3) === "\xff\xd8\xff") return { type: "image/jpeg", depth: sampleDepth("uint8") };
  if (text(0, 8) === "\x89PNG\r\n\x1a\n") {
    for (let at = 8; at + 8 <= header.byteLength; ) {
      const chunk = text(at + 4, 4);
      if (chunk === "eXIf") return null;
      if (chunk === "IDAT") return { type: "image/png", depth: header.getUint8(24) === 16 ? sampleDepth("uint16") : sampleDepth("uint8") };
      at += 12 + header.getUint32(at);
    }
    return null;
  }
  if (text(0, 4) === "RIFF" && text(8, 4) === "WEBP") {
    const hasExif = text(12, 4) === "VP8X" && (header.getUint8(20) & 8) !== 0;
    return hasExif ? null : { type: "image/webp", depth: sampleDepth("uint8") };
  }
  return null;
}
