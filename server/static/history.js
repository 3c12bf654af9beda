// Undo and redo: what tiles of masks were before, packed, within a bound of memory.

const MOST_BYTES = 32 * 2 ** 20;

export class History {
  onChange = () => {};
  revision = 0; // another one after every change
  #done = [];
  #undone = [];
  #open = null;

  constructor(mostBytes = MOST_BYTES) {
    this.mostBytes = mostBytes;
  }

  /** Watch a mask: what it was is remembered by itself. */
  watch(mask) {
    mask.onBefore = (each, key) => this.#remember(each, key);
  }

  /** From here to `commit` everything is one step. */
  begin() {
    if (this.#open) this.commit();
    this.#open = [];
  }

  commit() {
    const changes = this.#open;
    this.#open = null;
    if (!changes?.length) return;
    for (const mask of new Set(changes.map((each) => each.mask))) mask.tidy();
    this.#done.push(changes);
    this.#undone = [];
    while (this.#done.length > 1 && this.bytes > this.mostBytes) this.#done.shift();
    this.revision++;
    this.onChange();
  }

  /** Take back what has been done since `begin`. */
  rollBack() {
    const changes = this.#open ?? [];
    this.#open = null;
    for (const { mask, key, before } of changes) mask.restore(key, unpack(before));
  }

  /** One step of its own. */
  step(change) {
    this.begin();
    change();
    this.commit();
  }

  undo() {
    return this.#swap(this.#done, this.#undone);
  }

  redo() {
    return this.#swap(this.#undone, this.#done);
  }

  get canUndo() {
    return this.#done.length > 0;
  }

  get canRedo() {
    return this.#undone.length > 0;
  }

  get bytes() {
    const size = (steps) => steps.flat().reduce((sum, each) => sum + (each.before?.byteLength ?? 0) + 64, 0);
    return size(this.#done) + size(this.#undone);
  }

  #swap(from, to) {
    if (this.#open) this.commit();
    const changes = from.pop();
    if (!changes) return false;
    const back = changes.map(({ mask, key }) => ({ mask, key, before: pack(mask.tiles.get(key)?.data) }));
    for (const { mask, key, before } of changes) mask.restore(key, unpack(before));
    to.push(back);
    this.revision++;
    this.onChange();
    return true;
  }

  #remember(mask, key) {
    if (!this.#open || this.#open.some((each) => each.mask === mask && each.key === key)) return;
    this.#open.push({ mask, key, before: pack(mask.tiles.get(key)?.data) });
  }
}

/** Runs of equal values, as length << 8 | value. */
export function pack(data) {
  if (!data) return null;
  const runs = [];
  for (let index = 0; index < data.length; ) {
    const value = data[index];
    let ends = index + 1;
    while (ends < data.length && data[ends] === value) ends++;
    runs.push(((ends - index) << 8) | value);
    index = ends;
  }
  return Uint32Array.from(runs);
}

export function unpack(runs) {
  if (!runs) return null;
  const data = new Uint8Array(runs.reduce((sum, run) => sum + (run >>> 8), 0));
  let at = 0;
  for (const run of runs) data.fill(run & 255, at, (at += run >>> 8));
  return data;
}
