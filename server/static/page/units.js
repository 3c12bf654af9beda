// Numbers in words: durations, file sizes, sample depths.

/** Seconds as "50 s", "4 min" or "1 h 20 min". */
export function duration(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export const fileSize = (bytes) => (bytes < 1e6 ? `${Math.ceil(bytes / 1000)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);

/** The service's name of a sample format, in words. */
export const sampleDepth = (samples) => ({ uint8: "8 bit", uint16: "16 bit", float32: "32-bit float" })[samples];
