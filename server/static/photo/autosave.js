// The photo of this tab and its masks, kept over a reload in the browser's own database. A tab has
// one photo; photos of tabs that were closed are removed after a day.

const DATABASE = "dip-restore";
const LAYERS = ["mask", "suggestion", "dropped"];
const KEPT_MS = 24 * 3600 * 1000;
const SAVE_AFTER_MS = 400;
const AT_ONCE = 16; // tiles: more would stop the page

let opening = null;

function database() {
  return (opening ??= new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => ["photos", "tiles"].forEach((name) => request.result.createObjectStore(name));
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  }));
}

/** Run `change(stores)` in one transaction; the promise resolves when it is on the disk. */
async function write(change) {
  const transaction = (await database()).transaction(["photos", "tiles"], "readwrite");
  const complete = new Promise((resolve, reject) => {
    transaction.oncomplete = resolve;
    transaction.onerror = transaction.onabort = () => reject(transaction.error);
  });
  await Promise.all([change({ photos: transaction.objectStore("photos"), tiles: transaction.objectStore("tiles") }), complete]);
}

const answer = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

const read = async (store, ask) => answer(ask((await database()).transaction(store).objectStore(store)));

const all = (tab) => IDBKeyRange.bound([tab], [tab, []]);

function tabName() {
  let name = sessionStorage.getItem("dip-tab");
  if (!name) sessionStorage.setItem("dip-tab", (name = crypto.randomUUID()));
  return name;
}

/** The photo that this tab had before it was loaded: { file, name, masks }, or null. */
export async function takeKept() {
  const tab = tabName();
  const photo = await read("photos", (store) => store.get(tab));
  if (!photo) return null;
  const keys = await read("tiles", (store) => store.getAllKeys(all(tab)));
  const values = await read("tiles", (store) => store.getAll(all(tab)));
  const masks = Object.fromEntries(LAYERS.map((layer) => [layer, []]));
  keys.forEach(([, layer, column, row], index) => masks[layer].push([column, row, values[index]]));
  return { ...photo, masks };
}

/** Remove the photos of tabs that were not used for a day. */
export async function removeOld() {
  const names = await read("photos", (store) => store.getAllKeys());
  const photos = await read("photos", (store) => store.getAll());
  const old = names.filter((name, index) => photos[index].saved < Date.now() - KEPT_MS);
  if (old.length) {
    await write(({ photos: kept, tiles }) => {
      for (const name of old) {
        kept.delete(name);
        tiles.delete(all(name));
      }
    });
  }
}

/** Saves a photo and, some time after each change, the tiles that have changed. */
export class Autosave {
  safe = true; // whether everything is kept
  #timer = null;
  #last = Promise.resolve();

  constructor(photo) {
    this.photo = photo;
    this.tab = tabName();
    this.#run(() =>
      write(({ photos, tiles }) => {
        tiles.delete(all(this.tab));
        photos.put({ file: photo.file, name: photo.name, saved: Date.now() }, this.tab);
      }),
    );
  }

  /** Keep the changes of the masks, soon. */
  touch() {
    this.safe = false;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#save(), SAVE_AFTER_MS);
  }

  close() {
    clearTimeout(this.#timer);
  }

  #save() {
    const changed = LAYERS.map((layer) => [layer, this.photo[layer], this.photo[layer].takeUnsaved()]);
    return this.#run(() =>
      write(async ({ tiles }) => {
        for (const [layer, { tiles: now }, keys] of changed) {
          for (const [count, key] of [...keys].entries()) {
            const place = [this.tab, layer, ...key.split(",").map(Number)];
            const tile = now.get(key);
            const request = tile ? tiles.put(tile.packed, place) : tiles.delete(place);
            if (count % AT_ONCE === AT_ONCE - 1) await answer(request);
          }
        }
      }),
    );
  }

  #run(task) {
    this.#last = this.#last.then(task).then(
      () => (this.safe = true),
      (error) => console.info("not kept over a reload:", error), // a private window, or no space
    );
    return this.#last;
  }
}
