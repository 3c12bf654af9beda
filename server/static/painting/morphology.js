// Growing and shrinking of masks: dilation and erosion, on plain arrays.

/** Grow or shrink gray values by one pixel; the structuring element is a cross or a square. */
export function growByOne(values, width, height, { shrink, square }) {
  const better = shrink ? (a, b) => a < b : (a, b) => a > b;
  if (square) return withColumns(withRows(values, width, height, better), width, height, better);
  return withCross(values, width, height, better);
}

function withRows(values, width, height, better) {
  const result = values.slice();
  for (let row = 0; row < height; row++) {
    const start = row * width;
    for (let index = start; index < start + width; index++) {
      let best = values[index];
      if (index > start && better(values[index - 1], best)) best = values[index - 1];
      if (index < start + width - 1 && better(values[index + 1], best)) best = values[index + 1];
      result[index] = best;
    }
  }
  return result;
}

function withColumns(values, width, height, better) {
  const result = values.slice();
  for (let index = 0; index < values.length; index++) {
    let best = values[index];
    if (index >= width && better(values[index - width], best)) best = values[index - width];
    if (index + width < values.length && better(values[index + width], best)) best = values[index + width];
    result[index] = best;
  }
  return result;
}

function withCross(values, width, height, better) {
  const rows = withRows(values, width, height, better);
  const columns = withColumns(values, width, height, better);
  for (let index = 0; index < rows.length; index++) if (better(columns[index], rows[index])) rows[index] = columns[index];
  return rows;
}
