// Numbers in words: durations, file sizes, sample depths.

import { hasText, number, text } from "./texts.js";

/** Seconds as "50 s", "4 min" or "1 h 20 min". */
export function duration(seconds) {
  if (seconds < 60) return text("duration.s", { seconds: Math.max(1, Math.round(seconds)) });
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return text("duration.min", { minutes });
  return text("duration.h", { hours: Math.floor(minutes / 60), minutes: minutes % 60 });
}

export function fileSize(bytes) {
  if (bytes < 1e6) return text("file_size.kb", { size: Math.ceil(bytes / 1000) });
  return text("file_size.mb", { size: number(bytes / 1e6, { minimumFractionDigits: 1, maximumFractionDigits: 1 }) });
}

/** The service's name of a sample format, in words. */
export const sampleDepth = (samples) => (hasText(`depth.${samples}`) ? text(`depth.${samples}`) : undefined);
