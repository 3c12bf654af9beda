// Growing and shrinking: the largest or smallest of each pixel's neighbours, on plain arrays.

/** Grow (px > 0) or shrink (px < 0) gray values by pixels, with the outline of an octagon. */
export function grow(values, width, height, px) {
  const wins = px > 0 ? (a, b) => a > b : (a, b) => a < b;
  for (let step = 0; step < Math.abs(px); step++) {
    // Cross and square in turn come closest to a disc.
    if (step % 2 === 0) values = withCross(values, width, height, wins);
    else values = withColumns(withRows(values, width, height, wins), width, height, wins);
  }
  return values;
}

function withRows(values, width, height, wins) {
  const result = values.slice();
  for (let row = 0; row < height; row++) {
    const start = row * width;
    for (let index = start; index < start + width; index++) {
      let best = values[index];
      if (index > start && wins(values[index - 1], best)) best = values[index - 1];
      if (index < start + width - 1 && wins(values[index + 1], best)) best = values[index + 1];
      result[index] = best;
    }
  }
  return result;
}

function withColumns(values, width, height, wins) {
  const result = values.slice();
  for (let index = 0; index < values.length; index++) {
    let best = values[index];
    if (index >= width && wins(values[index - width], best)) best = values[index - width];
    if (index + width < values.length && wins(values[index + width], best)) best = values[index + width];
    result[index] = best;
  }
  return result;
}

function withCross(values, width, height, wins) {
  const rows = withRows(values, width, height, wins);
  const columns = withColumns(values, width, height, wins);
  for (let index = 0; index < rows.length; index++) if (wins(columns[index], rows[index])) rows[index] = columns[index];
  return rows;
}
