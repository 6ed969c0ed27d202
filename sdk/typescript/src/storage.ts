/** An event that is kept: its id and its JSON. */
export interface StoredEvent {
  /** The event's id. */
  id: string;
  /** The event, as it will be sent. */
  json: string;
}

/**
 * Keeps events that aren't delivered yet, so that a client which starts later sends them, with the same ids.
 * A storage belongs to one client at a time.
 */
export interface EventStorage {
  /**
   * Reads what earlier clients left, the oldest first. What it throws ends the construction of the client; a
   * promise that is rejected is only logged, for the events of this client are safe without the old ones.
   */
  open(warn: (message: string) => void): StoredEvent[] | Promise<StoredEvent[]>;
  /** Keeps an event. When it returns, the event survives the end of the process or page. May throw: there is no room. */
  add(event: StoredEvent): void;
  /** Forgets events. Those that aren't there don't matter. */
  remove(ids: readonly string[]): void;
  /** Lets go of what the storage holds. The events stay. */
  close(): void;
}

/** Options of {@link LocalStorage}. */
export interface LocalStorageOptions {
  /** Begins the names of all items. Clients for different services need different ones. Default `analytics`. */
  prefix?: string;
  /** Where to keep events. Default: `localStorage`, which lives as long as the site's data do. */
  area?: Storage;
}

/**
 * Keeps events in the browser's `localStorage`, an item for each. Several pages of one site may do so at a time: where the
 * browser has Web Locks, a page takes over what ended pages left, and leaves alone what living ones have. Without them it may send
 * the events of a living page too, which the server recognises by their ids.
 */
export class LocalStorage implements EventStorage {
  readonly #area: Storage;
  readonly #prefix: string;
  readonly #page = crypto.getRandomValues(new Uint32Array(2)).join("-");
  readonly #names = new Map<string, string>(); // of items, by event id
  #next = 0;
  #release: (() => void) | undefined;
  #closed = false;

  /** Takes the area; reads nothing yet. Throws where the browser denies the page its storage. */
  constructor(options: LocalStorageOptions = {}) {
    this.#area = options.area ?? localStorage;
    this.#prefix = `${options.prefix ?? "analytics"}:event:`;
  }

  /** Implements {@link EventStorage}. */
  async open(): Promise<StoredEvent[]> {
    const locks = globalThis.navigator?.locks;
    const living = new Set<string>();
    if (locks !== undefined) {
      const lock = (page: string) => `${this.#prefix}${page}`;
      const held = new Promise<void>((resolve) => (this.#release = resolve));
      // Held until the page ends, however it ends.
      void locks.request(lock(this.#page), () => (this.#closed ? undefined : held)).catch(() => {});
      for (const { name } of (await locks.query()).held ?? []) {
        if (name?.startsWith(this.#prefix)) living.add(name.slice(this.#prefix.length));
      }
    }
    const found: { name: string; event: StoredEvent }[] = [];
    for (const name of Object.keys(this.#area)) {
      const [, page, id] = /^(.*):\d+:([^:]*)$/.exec(name.startsWith(this.#prefix) ? name.slice(this.#prefix.length) : "") ?? [];
      if (page === undefined || id === undefined || page === this.#page || living.has(page)) continue;
      const json = this.#area.getItem(name);
      if (json !== null) found.push({ name, event: { id, json } });
    }
    // Ids made by this package are in the order of time.
    found.sort((a, b) => (a.event.id < b.event.id ? -1 : 1));
    for (const { name, event } of found) this.#names.set(event.id, name);
    return found.map(({ event }) => event);
  }

  /** Implements {@link EventStorage}. Throws a QuotaExceededError when the site's storage is full. */
  add(event: StoredEvent): void {
    const name = `${this.#prefix}${this.#page}:${this.#next++}:${event.id}`;
    this.#area.setItem(name, event.json);
    this.#names.set(event.id, name);
  }

  /** Implements {@link EventStorage}. */
  remove(ids: readonly string[]): void {
    for (const id of ids) {
      const name = this.#names.get(id);
      if (name === undefined) continue;
      this.#area.removeItem(name);
      this.#names.delete(id);
    }
  }

  /** Implements {@link EventStorage}. */
  close(): void {
    this.#closed = true;
    this.#release?.();
  }
}

/** Keeps events in memory: for tests, and to hand events from one client to the next. */
export class MemoryStorage implements EventStorage {
  /** The events, the oldest first. */
  readonly events = new Map<string, string>();

  /** Implements {@link EventStorage}. */
  open(): StoredEvent[] {
    return Array.from(this.events, ([id, json]) => ({ id, json }));
  }

  /** Implements {@link EventStorage}. */
  add(event: StoredEvent): void {
    this.events.set(event.id, event.json);
  }

  /** Implements {@link EventStorage}. */
  remove(ids: readonly string[]): void {
    for (const id of ids) this.events.delete(id);
  }

  /** Implements {@link EventStorage}. */
  close(): void {}
}
