// Damage detection: finds scratches, dust and pen marks, that is, details which are brighter or
// darker than their surroundings and narrower than a given width.
//
// The response is the white or black top-hat of mathematical morphology: the picture minus its
// opening, or its closing minus the picture. It is thresholded with hysteresis: strong pixels are
// taken, and weaker ones that are connected with them. The threshold rises where the
// neighbourhood has a high response everywhere, so that grass is not taken for scratches.

const BLOCK = 16; // px; neighbourhoods are averaged over blocks
const MOST_LEVELS = 24; // above this, a response does not raise the threshold of its own neighbourhood
const SMALLEST = 4; // px; smaller components are noise
const [WEAK, STRONG] = [1, 2];

/** The top-hat of 8-bit samples: 0 to 255 for each pixel. */
export function topHat(plane, width, height, window, light) {
  const [first, second] = light ? [minimum, maximum] : [maximum, minimum];
  const result = plane.slice();
  for (const stride of [1, width]) first(result, width, stride, window, 1);
  for (const stride of [1, width]) second(result, width, stride, window, -1);
  for (let index = 0; index < plane.length; index++) result[index] = Math.abs(plane[index] - result[index]);
  return result;
}

const minimum = (values, width, stride, window, direction) => slide(values, width, stride, window, direction, (a, b) => a < b);
const maximum = (values, width, stride, window, direction) => slide(values, width, stride, window, direction, (a, b) => a > b);

/**
 * Replace each value by the minimum or maximum of the `window` values from it on, in place.
 * Windows of 1, 2, 4 ... values are combined: the cost is logarithmic.
 */
function slide(values, width, stride, window, direction, better) {
  const length = stride === 1 ? width : values.length;
  for (let covered = 1; covered < window; ) {
    const step = Math.min(covered, window - covered);
    const offset = step * stride;
    for (let start = 0; start < values.length; start += length) {
      if (direction > 0) {
        for (let index = start; index < start + length - offset; index++) {
          if (better(values[index + offset], values[index])) values[index] = values[index + offset];
        }
      } else {
        for (let index = start + length - 1; index >= start + offset; index--) {
          if (better(values[index - offset], values[index])) values[index] = values[index - offset];
        }
      }
    }
    covered += step;
  }
}

/** The mean response of each block, smoothed over 5 × 5 blocks. */
function meanResponse(response, width, height) {
  const [across, down] = [Math.ceil(width / BLOCK), Math.ceil(height / BLOCK)];
  const sums = new Float32Array(across * down);
  for (let row = 0, index = 0; row < height; row++) {
    const start = Math.floor(row / BLOCK) * across;
    for (let column = 0; column < width; column++, index++) {
      sums[start + ((column / BLOCK) | 0)] += Math.min(response[index], MOST_LEVELS);
    }
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
 * Threshold a response: 255 for damage and the pixels around it, else 0.
 *
 * @param sensitivity 0 to 1
 */
export function threshold(response, width, height, sensitivity) {
  const base = 80 * 0.1 ** sensitivity; // 80 down to 8 levels
  const { means, across } = meanResponse(response, width, height);
  const marks = new Uint8Array(response.length);
  for (let row = 0, index = 0; row < height; row++) {
    const start = Math.floor(row / BLOCK) * across;
    for (let column = 0; column < width; column++, index++) {
      const strong = base + 3 * means[start + ((column / BLOCK) | 0)];
      if (response[index] > strong) marks[index] = STRONG;
      else if (response[index] > 0.5 * strong) marks[index] = WEAK;
    }
  }
  keepComponents(marks, width);
  return dilate(marks, width, height);
}

/** Set connected components with a strong pixel to 255, and all other pixels to 0. */
function keepComponents(marks, width) {
  const stack = new Int32Array(marks.length);
  const members = new Int32Array(marks.length);
  for (let first = 0; first < marks.length; first++) {
    if (marks[first] !== STRONG) continue;
    let [top, size] = [0, 0];
    stack[top++] = first;
    marks[first] = 255;
    while (top) {
      const index = stack[--top];
      members[size++] = index;
      const column = index % width;
      for (let dy = -width; dy <= width; dy += width) {
        for (let dx = -1; dx <= 1; dx++) {
          const next = index + dy + dx;
          if (next < 0 || next >= marks.length || column + dx < 0 || column + dx >= width) continue;
          if (marks[next] === WEAK || marks[next] === STRONG) {
            marks[next] = 255;
            stack[top++] = next;
          }
        }
      }
    }
    if (size < SMALLEST) for (let each = 0; each < size; each++) marks[members[each]] = 0;
  }
  for (let index = 0; index < marks.length; index++) if (marks[index] !== 255) marks[index] = 0;
}

/** Grow the marks by one pixel. */
function dilate(marks, width, height) {
  // The maximum of a window that ends at each pixel, moved back by one pixel, lies around it.
  for (const stride of [1, width]) maximum(marks, width, stride, 3, -1);
  const result = new Uint8Array(marks.length);
  for (let row = 0; row < height; row++) {
    const from = Math.min(height - 1, row + 1) * width;
    for (let column = 0; column < width; column++) result[row * width + column] = marks[from + Math.min(width - 1, column + 1)];
  }
  return result;
}
