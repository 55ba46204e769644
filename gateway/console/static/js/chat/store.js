/**
 * Conversations, kept in this browser and nowhere else (IndexedDB), apart for each account. No credential is among them:
 * what authorises an MCP server lives in the page only, until it is closed.
 */

const VERSION = 1;
const TALKS = "talks";

function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** What a conversation is listed by. */
function summary({ id, title, updated }) {
  return { id, title, updated };
}

/** The conversations of one account. Where the browser keeps nothing (a private window), they last as long as the page. */
export class TalkStore {
  #database = null;
  #memory = new Map();
  #gone = new Set();

  /** account: its id, which the database is named after. */
  static async open(account) {
    const store = new TalkStore();
    try {
      const request = indexedDB.open(`chat-${account}`, VERSION);
      request.onupgradeneeded = () => {
        request.result.createObjectStore(TALKS, { keyPath: "id" }).createIndex("updated", "updated");
      };
      store.#database = await done(request);
    } catch {
      store.#database = null;
    }
    return store;
  }

  /** Whether conversations outlast the page. */
  get lasting() {
    return this.#database !== null;
  }

  #talks(mode) {
    return this.#database.transaction(TALKS, mode).objectStore(TALKS);
  }

  /** `{id, title, updated}` of all conversations, the latest first. */
  async list() {
    const all = this.lasting ? await done(this.#talks("readonly").getAll()) : [...this.#memory.values()];
    return all.map(summary).sort((one, other) => other.updated - one.updated);
  }

  /** A whole conversation, undefined when it is gone. */
  async get(id) {
    return this.lasting ? done(this.#talks("readonly").get(id)) : structuredClone(this.#memory.get(id));
  }

  /** Keep a conversation as it is now, unless it was deleted. Throws when the browser has no room. */
  async put(talk) {
    if (this.#gone.has(talk.id)) return;
    if (this.lasting) await done(this.#talks("readwrite").put(talk));
    else this.#memory.set(talk.id, structuredClone(talk));
  }

  /** Forget a conversation. */
  async remove(id) {
    this.#gone.add(id);
    this.#memory.delete(id);
    if (this.lasting) await done(this.#talks("readwrite").delete(id));
  }

  /** Forget all of them. */
  async clear() {
    for (const { id } of await this.list()) this.#gone.add(id);
    this.#memory.clear();
    if (this.lasting) await done(this.#talks("readwrite").clear());
  }

  /** All of them, whole, to be saved as a file. */
  async everything() {
    return this.lasting ? done(this.#talks("readonly").getAll()) : [...this.#memory.values()];
  }
}
