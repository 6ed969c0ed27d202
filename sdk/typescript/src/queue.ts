import type { Serialized } from "./event.js";

/** An event that isn't settled. */
export interface Entry extends Serialized {
  /** Its place in the order of tracking. */
  seq: number;
  /** When it was tracked, by the clock of `performance.now()`. */
  since: number;
  /** Requests that carried it. */
  tries: number;
  /** Those of them that are under way. */
  underway: number;
  /** Whether it has its outcome. */
  settled: boolean;
}

/**
 * Events that wait to be sent: those that came back from a request, as batches of their own, and behind them
 * those that were never sent.
 */
export class Queue {
  #returned: Entry[][] = [];
  #fresh: Entry[] = [];
  #head = 0;
  #freshBytes = 0;

  /** Puts a new event at the end. */
  push(entry: Entry): void {
    this.#fresh.push(entry);
    this.#freshBytes += entry.bytes + 1; // and the line break
  }

  /** Puts what an earlier client left at the front. */
  unshift(entries: Entry[]): void {
    this.#fresh = entries.concat(this.#fresh.slice(this.#head));
    this.#head = 0;
    for (const entry of entries) this.#freshBytes += entry.bytes + 1;
  }

  /** Puts batches that were sent back to the front. */
  giveBack(...batches: Entry[][]): void {
    this.#returned.unshift(...batches.filter((batch) => batch.length > 0));
  }

  /** Whether anything waits. */
  get isEmpty(): boolean {
    return this.#returned.length === 0 && this.#head === this.#fresh.length;
  }

  /** Whether a batch came back. */
  get hasReturned(): boolean {
    return this.#returned.length > 0;
  }

  /** The oldest of those that were never sent. */
  get oldestFresh(): Entry | undefined {
    return this.#fresh[this.#head];
  }

  /** Whether those that were never sent fill a batch. */
  fills(maxEvents: number, maxBytes: number): boolean {
    return this.#fresh.length - this.#head >= maxEvents || this.#freshBytes > maxBytes;
  }

  /** Takes the next batch: what came back, or as many new events as fit. The first always fits. */
  take(maxEvents: number, maxBytes: number): Entry[] {
    return this.#returned.shift() ?? this.#takeFresh(maxEvents, maxBytes);
  }

  /** Takes events from the front, wherever they come from, as many as fit; perhaps none. */
  takeWithin(maxEvents: number, maxBytes: number): Entry[] {
    const taken: Entry[] = [];
    let bytes = 0;
    for (let batch = this.#returned[0]; batch !== undefined; batch = this.#returned[0]) {
      while (batch.length > 0) {
        bytes += batch[0]!.bytes + 1;
        if (bytes > maxBytes || taken.length >= maxEvents) return taken;
        taken.push(batch.shift()!);
      }
      this.#returned.shift();
    }
    const first = this.oldestFresh;
    if (first === undefined || bytes + first.bytes + 1 > maxBytes || taken.length >= maxEvents) return taken;
    return taken.concat(this.#takeFresh(maxEvents - taken.length, maxBytes - bytes));
  }

  #takeFresh(maxEvents: number, maxBytes: number): Entry[] {
    let end = this.#head;
    let bytes = 0;
    while (end < this.#fresh.length && end - this.#head < maxEvents) {
      const size = this.#fresh[end]!.bytes + 1;
      if (end > this.#head && bytes + size > maxBytes) break;
      bytes += size;
      end++;
    }
    const taken = this.#fresh.slice(this.#head, end);
    this.#advance(end, bytes);
    return taken;
  }

  /** Takes the oldest event that waits, or undefined. */
  takeOldest(): Entry | undefined {
    const batch = this.#returned[0];
    if (batch !== undefined) {
      const entry = batch.shift();
      if (batch.length === 0) this.#returned.shift();
      return entry;
    }
    const entry = this.oldestFresh;
    if (entry !== undefined) this.#advance(this.#head + 1, entry.bytes + 1);
    return entry;
  }

  /** Takes everything. */
  takeAll(): Entry[] {
    const all = this.#returned.flat().concat(this.#fresh.slice(this.#head));
    this.#returned = [];
    this.#fresh = [];
    this.#head = this.#freshBytes = 0;
    return all;
  }

  #advance(head: number, bytes: number): void {
    this.#head = head;
    this.#freshBytes -= bytes;
    if (head > 1024 && head * 2 > this.#fresh.length) {
      this.#fresh = this.#fresh.slice(head);
      this.#head = 0;
    }
  }
}
