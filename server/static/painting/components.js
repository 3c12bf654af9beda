// Counts connected marks, run by run: the memory follows the number of runs, not of pixels.

/**
 * The number of marks, connected over edges and corners.
 *
 * @param values row by row; a pixel is marked where its value is above `faint`
 */
export function countComponents(values, width, height, faint) {
  let parents = new Int32Array(1024);
  let count = 0; // of runs
  let joined = 0;
  const root = (run) => {
    while (parents[run] !== run) run = parents[run] = parents[parents[run]];
    return run;
  };
  let above = []; // [from, to, run] of the row above
  for (let row = 0; row < height; row++) {
    const runs = [];
    let next = 0;
    for (let at = row * width, end = at + width; at < end; ) {
      if (values[at] <= faint) {
        at++;
        continue;
      }
      const start = at;
      while (at < end && values[at] > faint) at++;
      const [from, to] = [start - row * width, at - row * width];
      if (count === parents.length) {
        const larger = new Int32Array(2 * count);
        larger.set(parents);
        parents = larger;
      }
      const run = count++;
      parents[run] = run;
      while (next < above.length && above[next][1] < from) next++;
      for (let each = next; each < above.length && above[each][0] <= to; each++) {
        const [a, b] = [root(above[each][2]), root(run)];
        if (a === b) continue;
        parents[b] = a;
        joined++;
      }
      runs.push([from, to, run]);
    }
    above = runs;
  }
  return count - joined;
}
