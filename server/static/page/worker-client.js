// A web worker as a function: each question gets a promise of its answer.

import { text } from "./texts.js";

export class WorkerClient {
  #worker;
  #pending = new Map();
  #count = 0;

  constructor(url) {
    this.#worker = new Worker(url, { type: "module" });
    this.#worker.onmessage = ({ data }) => {
      const { resolve, reject } = this.#pending.get(data.id);
      this.#pending.delete(data.id);
      if (data.code) reject(new Error(text(`error.${data.code}`, data.values)));
      else if (data.error !== undefined) reject(new Error(data.error));
      else resolve(data);
    };
  }

  ask(question, transfer = []) {
    const id = ++this.#count;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#worker.postMessage({ ...question, id }, transfer);
    });
  }
}
