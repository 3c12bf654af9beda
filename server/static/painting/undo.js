// Undo and redo: earlier values of mask tiles, packed, within a limit of memory.

const MOST_BYTES = 32 * 2 ** 20;

export class UndoHistory {
  onChange = () => {};
  revision = 0; // changes with every step, undo and redo
  #done = [];
  #undone = [];
  #open = null; // changes of the step in progress

  constructor(mostBytes = MOST_BYTES) {
    this.mostBytes = mostBytes;
  }

  /** Record the changes of a mask. */
  watch(mask) {
    mask.onBeforeChange = (each, key) => this.#record(each, key);
  }

  /** Begin a step; it lasts until `commit`. */
  begin() {
    if (this.#open) this.commit();
    this.#open = [];
  }

  commit() {
    const changes = this.#open;
    this.#open = null;
    if (!changes?.length) return;
    for (const mask of new Set(changes.map((each) => each.mask))) mask.removeEmptyTiles();
    this.#done.push(changes);
    this.#undone = [];
    while (this.#done.length > 1 && this.bytes > this.mostBytes) this.#done.shift();
    this.revision++;
    this.onChange();
  }

  /** Take back the step in progress. */
  rollBack() {
    const changes = this.#open ?? [];
    this.#open = null;
    for (const { mask, key, before } of changes) mask.restore(key, before);
  }

  /** Run a function as one step. */
  step(change) {
    this.begin();
    change();
    this.commit();
  }

  /** Tell of a change that is no step. */
  touch() {
    this.revision++;
    this.onChange();
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
    const opposite = changes.map(({ mask, key }) => ({ mask, key, before: mask.tiles.get(key)?.packed ?? null }));
    for (const { mask, key, before } of changes) mask.restore(key, before);
    to.push(opposite);
    this.revision++;
    this.onChange();
    return true;
  }

  #record(mask, key) {
    if (!this.#open || this.#open.some((each) => each.mask === mask && each.key === key)) return;
    this.#open.push({ mask, key, before: mask.tiles.get(key)?.packed ?? null });
  }
}
