import type { EventStorage, StoredEvent } from "./storage.js";

/** Options of {@link IndexedDBStorage}. */
export interface IndexedDBStorageOptions {
  /** The name of the database. Clients for different services need different ones. Default `analytics`. */
  name?: string;
}

const store = "events";

/**
 * Keeps events in the browser's IndexedDB, which holds much more than `localStorage` and is there in workers too. It can't be
 * written to at once: an event that is tracked in the last milliseconds of a page may not be kept.
 *
 * Pages of one site that use it at a time may send each other's events, which the server recognises by their ids.
 */
export class IndexedDBStorage implements EventStorage {
  readonly #name: string;
  readonly #opened: Promise<IDBDatabase>;
  #warn: (message: string) => void = () => {};
  #changes: ((events: IDBObjectStore) => void)[] = []; // that wait for a transaction

  /** Opens the database, which is made if missing. */
  constructor(options: IndexedDBStorageOptions = {}) {
    this.#name = options.name ?? "analytics";
    const request = indexedDB.open(this.#name, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(store, { keyPath: "id" });
    this.#opened = result(request);
    this.#opened.catch(() => {}); // open says it
  }

  /** Implements {@link EventStorage}. */
  async open(warn: (message: string) => void): Promise<StoredEvent[]> {
    this.#warn = warn;
    const database = await this.#opened;
    // Keys are ids, and so in the order of time. What this client has added meanwhile isn't committed before this reads.
    return result(database.transaction(store).objectStore(store).getAll() as IDBRequest<StoredEvent[]>);
  }

  /** Implements {@link EventStorage}. Returns before the event is kept. */
  add(event: StoredEvent): void {
    this.#change((events) => events.put(event));
  }

  /** Implements {@link EventStorage}. */
  remove(ids: readonly string[]): void {
    this.#change((events) => {
      for (const id of ids) events.delete(id);
    });
  }

  /** Implements {@link EventStorage}. */
  close(): void {
    this.#commit();
    this.#opened.then((database) => database.close(), () => {});
  }

  /** Has a change made together with those of the same moment. */
  #change(change: (events: IDBObjectStore) => void): void {
    if (this.#changes.push(change) === 1) queueMicrotask(() => this.#commit());
  }

  #commit(): void {
    const changes = this.#changes;
    this.#changes = [];
    if (changes.length === 0) return;
    this.#opened
      .then((database) => {
        const transaction = database.transaction(store, "readwrite", { durability: "relaxed" });
        const events = transaction.objectStore(store);
        for (const change of changes) change(events);
        transaction.onabort = () => this.#warn(`IndexedDB doesn't keep events: ${transaction.error?.message ?? "it gave up"}`);
        transaction.commit(); // or an ending page would take it along
      })
      .catch((error: unknown) => this.#warn(`IndexedDB doesn't keep events: ${String(error)}`));
  }
}

function result<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("IndexedDB failed"));
  });
}
