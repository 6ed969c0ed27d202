import type { Event, Outcome, Serialized, Violation } from "./event.js";
import { deserialize, utf8Length } from "./event.js";
import type { Settings } from "./options.js";
import type { Entry } from "./queue.js";
import { Queue } from "./queue.js";
import type { StoredEvent } from "./storage.js";
import type { Answer, Mode } from "./transport.js";
import { bodyBytes, Transport } from "./transport.js";

/** What a client has done so far. */
export interface Stats {
  /** Events that aren't settled. */
  queued: number;
  /** Events with the outcome `accepted`. */
  accepted: number;
  /** Events with the outcome `duplicate`. */
  duplicate: number;
  /** Events with the outcome `rejected`. */
  rejected: number;
  /** Events with the outcome `dropped`. */
  dropped: number;
  /** Events with the outcome `failed`. */
  failed: number;
  /** Tries of `POST /events`, also those that found no server. */
  requests: number;
  /** Those of them that sent events again. */
  retries: number;
}

/** How a flush or close ended. */
export interface Settled {
  /** Whether every event that was tracked before has been settled in time. */
  ok: boolean;
  /** How many were not; after a close: how many were dropped at its end, or stay in the storage. */
  left: number;
}

/** Browsers let a page's requests that may outlive it have this many bytes in their bodies, all together. */
const keepaliveBytes = 64 * 1024;

/** Of those, what ordinary requests may take; the rest is for the page's end. */
const ordinaryKeepaliveBytes = keepaliveBytes / 2;

/** What requests of this page that may outlive it have in their bodies now. */
let keepaliveBytesUnderway = 0;

interface Waiter {
  upTo: number; // seq
  left: number;
  done(): void;
}

/** A pause of the loop, for a batch to fill or after a failure. */
interface Pause {
  kind: "filling" | "backoff";
  end(): void;
}

/** Holds events until they are settled, and sends them, one request at a time. */
export class Delivery {
  readonly #settings: Settings;
  readonly #transport: Transport;
  readonly #inPage: boolean;
  readonly #queue = new Queue();
  readonly #counts = { accepted: 0, duplicate: 0, rejected: 0, dropped: 0, failed: 0, retries: 0 };
  readonly #waiters = new Set<Waiter>();
  readonly #handedOver = new Map<Promise<void>, Entry[]>();
  #unsettled = 0;
  #unsettledBytes = 0;
  #seq = 0;
  #urgent = 0; // up to which seq nothing waits for a batch to fill
  #failures = 0; // in a row
  #underway: { entries: Entry[]; keepalive: boolean } | undefined;
  #pause: Pause | undefined;
  #running = false;
  #ended = false;
  #outcomes: Outcome[] = [];
  #storageWarned = false;

  constructor(settings: Settings, inPage: boolean) {
    this.#settings = settings;
    this.#transport = new Transport(settings);
    this.#inPage = inPage;
  }

  /** What was done so far. */
  get stats(): Stats {
    return { queued: this.#unsettled, ...this.#counts, requests: this.#transport.requests };
  }

  /** Takes an event, or not: then it is dropped. */
  add(event: Serialized): boolean {
    if (this.#settings.onFull === "drop_oldest" && event.bytes <= this.#settings.maxQueueBytes) {
      while (!this.#hasRoom(event)) {
        const oldest = this.#queue.takeOldest();
        if (oldest === undefined) break; // all are under way
        this.#settle([[oldest, { status: "dropped", reason: "queue_full" }]]);
      }
    }
    if (!this.#hasRoom(event)) {
      this.refuse(deserialize(event.json)!, { status: "dropped", reason: "queue_full" });
      return false;
    }
    try {
      this.#settings.storage?.add(event);
    } catch (error) {
      if (!this.#storageWarned) this.#settings.logger.warn(`an event is kept in memory only, for the storage failed: ${message(error)}`);
      this.#storageWarned = true;
    }
    const entry: Entry = {
      id: event.id, json: event.json, bytes: event.bytes, seq: ++this.#seq, since: performance.now(), tries: 0, underway: 0, settled: false,
    };
    this.#queue.push(entry);
    this.#count(entry);
    this.#go();
    return true;
  }

  #hasRoom(event: Serialized): boolean {
    return this.#unsettled < this.#settings.maxQueueEvents && this.#unsettledBytes + event.bytes <= this.#settings.maxQueueBytes;
  }

  /** Takes what an earlier client left in the storage. */
  recover(stored: readonly StoredEvent[]): void {
    if (this.#ended) return; // they stay where they are
    const entries: Entry[] = [];
    for (const { id, json } of stored) {
      if (deserialize(json)?.event_id !== id) {
        this.#settings.logger.warn("something in the storage is not an event, and is removed");
        this.#forget([id]);
        continue;
      }
      entries.push({ id, json, bytes: utf8Length(json), seq: 0, since: -Infinity, tries: 0, underway: 0, settled: false });
    }
    if (entries.length === 0) return;
    this.#settings.logger.info(`${entries.length} events of an earlier run are sent`);
    this.#queue.unshift(entries);
    for (const entry of entries) this.#count(entry);
    for (const waiter of this.#waiters) waiter.left += entries.length;
    this.#go();
  }

  /** Settles an event that never got into the queue. */
  refuse(event: Event, fate: FateOf<"rejected" | "dropped">): void {
    this.#counts[fate.status]++;
    this.#report({ ...fate, event });
  }

  /** Waits until everything taken so far is settled, at most so long. */
  async flush(timeoutMs: number): Promise<Settled> {
    this.#hurry();
    if (this.#unsettled === 0 || this.#ended) return { ok: this.#unsettled === 0, left: this.#unsettled };
    const waiter: Waiter = { upTo: this.#seq, left: this.#unsettled, done: () => {} };
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, Math.min(timeoutMs, 2 ** 31 - 1));
      waiter.done = () => {
        clearTimeout(timer);
        resolve();
      };
      this.#waiters.add(waiter);
    });
    this.#waiters.delete(waiter);
    return { ok: waiter.left === 0, left: waiter.left };
  }

  /** Flushes, without the rest of the pause that is on, and ends. What is left is dropped, unless a storage has it. */
  async close(timeoutMs: number): Promise<Settled> {
    const flushed = this.flush(timeoutMs);
    this.#pause?.end();
    const { left } = await flushed;
    this.#ended = true;
    this.#pause?.end();
    if (left > 0) {
      const rest = (this.#underway?.entries ?? []).concat(...this.#handedOver.values(), this.#queue.takeAll());
      this.#transport.abort();
      if (this.#settings.storage === undefined) {
        this.#settle(rest.map((entry) => [entry, { status: "dropped", reason: "closed" }]));
        this.#settings.logger.warn(`${left} events were dropped: they weren't delivered before the client was closed`);
      } else {
        this.#settings.logger.info(`${left} events stay in the storage`);
      }
    }
    return { ok: left === 0, left };
  }

  /** Tries again at once: there is hope. */
  retryNow(): void {
    if (this.#pause?.kind === "backoff") this.#pause.end();
  }

  /**
   * Sends what browsers let an ending page send, at once and beside the request under way: that one's events too, unless
   * it outlives the page itself. If the page goes on, the answer is heeded like any other.
   */
  handOver(): void {
    const room = keepaliveBytes - keepaliveBytesUnderway;
    const max = Math.min(this.#settings.maxBatchBytes, room);
    const entries: Entry[] = [];
    let bytes = 0;
    if (this.#underway !== undefined && !this.#underway.keepalive) {
      for (const entry of this.#underway.entries) {
        if (entry.settled || entry.underway > 1) continue;
        if (bytes + entry.bytes + 1 > max || entries.length >= this.#settings.maxBatchEvents) break;
        entries.push(entry);
        bytes += entry.bytes + 1;
      }
    }
    entries.push(...this.#queue.takeWithin(this.#settings.maxBatchEvents - entries.length, max - bytes));
    if (entries.length === 0) return;
    const sent = this.#send(entries, { keepalive: true, gzip: false }).then((answer) => {
      this.#handedOver.delete(sent);
      this.#heed(entries, answer);
      this.#go();
    });
    this.#handedOver.set(sent, entries);
  }

  /** Starts the loop, or has it look again. */
  #go(): void {
    if (this.#ended) return;
    if (!this.#running) {
      this.#running = true;
      void this.#run();
    } else if (this.#pause?.kind === "filling" && this.#dueInMs() <= 0) {
      this.#pause.end();
    }
  }

  #hurry(): void {
    this.#urgent = this.#seq;
    this.#go();
  }

  /** For how long nothing needs to be sent yet. */
  #dueInMs(): number {
    const { maxBatchEvents, maxBatchBytes, flushIntervalMs } = this.#settings;
    const oldest = this.#queue.oldestFresh;
    if (this.#queue.hasReturned || oldest === undefined || oldest.seq <= this.#urgent) return 0;
    if (this.#queue.fills(maxBatchEvents, maxBatchBytes)) return 0;
    return oldest.since + flushIntervalMs - performance.now();
  }

  /** The loop. It runs while anything waits, and nothing of it is left when nothing does. */
  async #run(): Promise<void> {
    await undefined; // nothing is sent within a call of track
    while (!this.#ended && !this.#queue.isEmpty) {
      const wait = this.#dueInMs();
      if (wait > 0) {
        await this.#sleep("filling", wait);
        continue;
      }
      if (this.#handedOver.size > 0) {
        await Promise.all(this.#handedOver.keys());
        continue;
      }
      const batch = this.#queue.take(this.#settings.maxBatchEvents, this.#settings.maxBatchBytes);
      const pauseMs = this.#heed(batch, await this.#sendOrdinary(batch));
      if (pauseMs > 0 && !this.#ended) await this.#sleep("backoff", pauseMs);
    }
    this.#running = false;
  }

  async #sendOrdinary(entries: Entry[]): Promise<Answer> {
    const bytes = bodyBytes(entries);
    const keepalive = this.#inPage && bytes <= ordinaryKeepaliveBytes && keepaliveBytesUnderway + bytes <= ordinaryKeepaliveBytes;
    this.#underway = { entries, keepalive };
    try {
      return await this.#send(entries, { keepalive, gzip: this.#settings.gzip });
    } finally {
      this.#underway = undefined;
    }
  }

  async #send(entries: Entry[], mode: Mode): Promise<Answer> {
    if (entries.some((entry) => entry.tries > 0)) this.#counts.retries++;
    for (const entry of entries) {
      entry.tries++;
      entry.underway++;
    }
    const bytes = mode.keepalive ? bodyBytes(entries) : 0;
    keepaliveBytesUnderway += bytes;
    const answer = await this.#transport.send(entries, mode);
    keepaliveBytesUnderway -= bytes;
    for (const entry of entries) entry.underway--;
    return answer;
  }

  /** Settles what the answer settles, puts the rest back, and returns how long to pause. */
  #heed(entries: Entry[], answer: Answer): number {
    if (this.#ended) return 0;
    switch (answer.kind) {
      case "receipt": {
        const settled: [Entry, FateOf][] = [];
        const again: Entry[] = [];
        answer.fates.forEach((fate, i) => {
          const entry = entries[i]!;
          if (fate.status === "retry") again.push(entry);
          else if (fate.status === "received") settled.push([entry, { status: "accepted" }]);
          else settled.push([entry, fate as FateOf]);
        });
        this.#settle(settled);
        if (again.length === 0) {
          if (this.#failures > 0) this.#settings.logger.info("events are delivered again");
          this.#failures = 0;
          return 0;
        }
        return this.#later(again, `${again.length} events weren't stored in time`, answer.pauseMs);
      }
      case "again":
        return this.#later(entries, answer.why, answer.pauseMs);
      case "too_large": {
        this.#failures = 0;
        if (entries.length > 1) {
          const rest = this.#unfinished(entries);
          const half = Math.ceil(rest.length / 2);
          this.#queue.giveBack(rest.slice(0, half), rest.slice(half));
          return 0;
        }
        const violations: Violation[] = [{ pointer: "", code: "content_too_large", detail: answer.detail }];
        this.#settle(entries.map((entry) => [entry, { status: "rejected", violations }]));
        return 0;
      }
      case "refused": {
        this.#failures = 0;
        const { httpStatus, code, detail } = answer;
        this.#settings.logger.warn(`${entries.length} events were refused with ${httpStatus} ${code}`);
        this.#settle(entries.map((entry) => [entry, { status: "failed", httpStatus, code, detail }]));
        return 0;
      }
    }
  }

  #later(entries: Entry[], why: string, pauseMs: number): number {
    this.#queue.giveBack(this.#unfinished(entries));
    const { backoffBaseMs, backoffMaxMs } = this.#settings;
    const longest = Math.min(backoffMaxMs, backoffBaseMs * 2 ** this.#failures);
    if (this.#failures++ === 0) this.#settings.logger.warn(`events are sent again later: ${why}`);
    // Never 0, which would be no pause at all.
    return Math.max(1, Math.random() * longest, pauseMs);
  }

  /** Those that neither another request carries nor one has settled. */
  #unfinished(entries: Entry[]): Entry[] {
    return entries.filter((entry) => !entry.settled && entry.underway === 0);
  }

  async #sleep(kind: Pause["kind"], ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const end = () => {
        clearTimeout(timer);
        this.#pause = undefined;
        resolve();
      };
      const timer = setTimeout(end, ms);
      // A server that is away must not keep a program from ending.
      if (kind === "backoff") (timer as { unref?: () => void }).unref?.();
      this.#pause = { kind, end };
    });
  }

  #count(entry: Entry): void {
    this.#unsettled++;
    this.#unsettledBytes += entry.bytes;
  }

  #settle(settled: [Entry, FateOf][]): void {
    const ids: string[] = [];
    for (const [entry, fate] of settled) {
      if (entry.settled) continue; // by another request with the same event
      entry.settled = true;
      ids.push(entry.id);
      this.#unsettled--;
      this.#unsettledBytes -= entry.bytes;
      this.#counts[fate.status]++;
      if (this.#settings.onOutcome !== undefined) this.#report({ ...fate, event: deserialize(entry.json)! });
      for (const waiter of this.#waiters) {
        if (entry.seq <= waiter.upTo && --waiter.left === 0) waiter.done();
      }
    }
    this.#forget(ids);
  }

  #forget(ids: readonly string[]): void {
    if (ids.length === 0) return;
    try {
      this.#settings.storage?.remove(ids);
    } catch (error) {
      this.#settings.logger.warn(`delivered events stay in the storage, and are sent again, for it failed: ${message(error)}`);
    }
  }

  /** Tells the caller, but not within a call of theirs. */
  #report(outcome: Outcome): void {
    const { onOutcome, logger } = this.#settings;
    if (onOutcome === undefined) return;
    if (this.#outcomes.push(outcome) > 1) return;
    queueMicrotask(() => {
      const outcomes = this.#outcomes;
      this.#outcomes = [];
      for (const outcome of outcomes) {
        const failed = (error: unknown) => logger.warn(`onOutcome failed: ${message(error)}`);
        try {
          // An async function's rejection is nobody else's either.
          void Promise.resolve(onOutcome(outcome) as unknown).catch(failed);
        } catch (error) {
          failed(error);
        }
      }
    });
  }
}

/** An outcome without its event. */
type FateOf<Status extends Outcome["status"] = Outcome["status"]> = WithoutEvent<Extract<Outcome, { status: Status }>>;
type WithoutEvent<O> = O extends unknown ? Omit<O, "event"> : never;

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
