// A worker that answers questions, each with a promise.

export class Helper {
  #worker;
  #waiting = new Map();
  #count = 0;

  constructor(url) {
    this.#worker = new Worker(url, { type: "module" });
    this.#worker.onmessage = ({ data }) => {
      const { resolve, reject } = this.#waiting.get(data.id) ?? {};
      this.#waiting.delete(data.id);
      if (data.error !== undefined) reject?.(new Error(data.error));
      else resolve?.(data);
    };
  }

  ask(question, transfer = []) {
    const id = ++this.#count;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ ...question, id }, transfer);
    });
  }
}

export const maskHelper = new Helper(new URL("./mask-worker.js", import.meta.url));
export const wandHelper = new Helper(new URL("./wand-worker.js", import.meta.url));
