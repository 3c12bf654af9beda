// Finds what is brighter or darker than its surroundings and narrower than a given width:
// scratches, dust, pen marks. Plain arrays; runs in a worker.
//
// The top-hat of mathematical morphology: a picture less its opening, which is the picture without
// what is bright and narrow (and closing less picture for what is dark). A pixel is taken where
// that difference is well above the threshold, and above what its neighbourhood has anyway, so
// that grass is not taken for scratches; then everything weaker that hangs together with it.

const BLOCK = 16; // px; neighbourhoods are averaged over blocks

/** How much each pixel stands out, 0 to 255. */
export function standOut(plane, width, height, widest, light) {
  const [shrink, swell] = light ? [lower, higher] : [higher, lower];
  const opened = plane.slice();
  for (const stride of [1, width]) shrink(opened, width, stride, widest, 1);
  for (const stride of [1, width]) swell(opened, width, stride, widest, -1);
  for (let index = 0; index < plane.length; index++) opened[index] = Math.abs(plane[index] - opened[index]);
  return opened;
}

const lower = (values, width, stride, window, towards) => slide(values, width, stride, window, towards, (a, b) => a < b);
const higher = (values, width, stride, window, towards) => slide(values, width, stride, window, towards, (a, b) => a > b);

/** The best of `window` pixels from each on, in place: windows of 1, 2, 4 ... put together. */
function slide(values, width, stride, window, towards, wins) {
  const length = stride === 1 ? width : values.length;
  for (let covered = 1; covered < window; ) {
    const step = Math.min(covered, window - covered);
    const offset = step * stride;
    for (let start = 0; start < values.length; start += length) {
      if (towards > 0) {
        for (let index = start; index < start + length - offset; index++) {
          if (wins(values[index + offset], values[index])) values[index] = values[index + offset];
        }
      } else {
        for (let index = start + length - 1; index >= start + offset; index--) {
          if (wins(values[index - offset], values[index])) values[index] = values[index - offset];
        }
      }
    }
    covered += step;
  }
}

/** Means over blocks, smoothed over 5 × 5 of them: what a neighbourhood has anyway. */
function usual(response, width, height) {
  const [across, down] = [Math.ceil(width / BLOCK), Math.ceil(height / BLOCK)];
  const sums = new Float32Array(across * down);
  for (let row = 0, index = 0; row < height; row++) {
    const start = Math.floor(row / BLOCK) * across;
    // Strong ones are what is looked for: they do not raise the bar for themselves.
    for (let column = 0; column < width; column++, index++) sums[start + ((column / BLOCK) | 0)] += Math.min(response[index], 24);
  }
  const means = new Float32Array(across * down);
  for (let row = 0; row < down; row++) {
    for (let column = 0; column < across; column++) {
      let [sum, blocks] = [0, 0];
      for (let y = Math.max(0, row - 2); y <= Math.min(down - 1, row + 2); y++) {
        for (let x = Math.max(0, column - 2); x <= Math.min(across - 1, column + 2); x++) {
          sum += sums[y * across + x];
          blocks++;
        }
      }
      means[row * across + column] = sum / blocks / BLOCK ** 2;
    }
  }
  return { means, across };
}

/**
 * Take what stands out: 255 where it does, and around it.
 *
 * @param sensitivity 0 to 1
 */
export function take(response, width, height, sensitivity, { fewest = 4, around = 1 } = {}) {
  const threshold = 80 * 0.1 ** sensitivity; // 80 down to 8 levels
  const { means, across } = usual(response, width, height);
  const taken = new Uint8Array(response.length);
  for (let row = 0, index = 0; row < height; row++) {
    const start = Math.floor(row / BLOCK) * across;
    for (let column = 0; column < width; column++, index++) {
      const bar = threshold + 3 * means[start + ((column / BLOCK) | 0)];
      if (response[index] > bar) taken[index] = 2;
      else if (response[index] > 0.5 * bar) taken[index] = 1;
    }
  }
  keepConnected(taken, width, height, fewest);
  return widen(taken, width, height, around);
}

/** Keep what hangs together with something strong, 255; drop the rest, and single specks. */
function keepConnected(taken, width, height, fewest) {
  const stack = new Int32Array(taken.length);
  const members = new Int32Array(taken.length);
  for (let seed = 0; seed < taken.length; seed++) {
    if (taken[seed] !== 2) continue;
    let [top, found] = [0, 0];
    stack[top++] = seed;
    taken[seed] = 255;
    while (top) {
      const index = stack[--top];
      members[found++] = index;
      const column = index % width;
      for (let dy = -width; dy <= width; dy += width) {
        for (let dx = -1; dx <= 1; dx++) {
          const next = index + dy + dx;
          if (next < 0 || next >= taken.length || column + dx < 0 || column + dx >= width) continue;
          if (taken[next] === 1 || taken[next] === 2) {
            taken[next] = 255;
            stack[top++] = next;
          }
        }
      }
    }
    if (found < fewest) for (let each = 0; each < found; each++) taken[members[each]] = 0;
  }
  for (let index = 0; index < taken.length; index++) if (taken[index] !== 255) taken[index] = 0;
}

function widen(taken, width, height, px) {
  const size = 2 * px + 1;
  // A window that begins at each pixel, moved back by px, lies around it.
  for (const stride of [1, width]) slide(taken, width, stride, size, -1, (a, b) => a > b);
  const result = new Uint8Array(taken.length);
  for (let row = 0; row < height; row++) {
    const from = Math.min(height - 1, row + px) * width;
    for (let column = 0; column < width; column++) result[row * width + column] = taken[from + Math.min(width - 1, column + px)];
  }
  return result;
}
