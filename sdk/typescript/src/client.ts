import { Delivery, type Settled, type Stats } from "./delivery.js";
import { type Event, NotAnEvent, serialize } from "./event.js";
import { type Options, type Settings, settingsOf } from "./options.js";
import { inPage, watchPage } from "./page.js";
import { Questions } from "./questions.js";

/** How long flush and close take at most, unless they are told. */
const defaultTimeoutMs = 10_000;

/**
 * Sends events to the service in batches, in the background, until each is accepted or can't be; and asks questions.
 *
 * One client serves a whole application. End it with {@link Analytics.close}; a page needs nothing: when it is
 * hidden or left, what waits is handed to the browser.
 *
 * @example
 * ```ts
 * const analytics = new Analytics({ url: "https://analytics.example" });
 * analytics.track({ user_id: 42, event_type: "purchase", payload: { item: "book" } });
 * await analytics.close();
 * ```
 */
export class Analytics {
  /** Everything that can be asked of the service. */
  readonly questions: Questions;
  readonly #settings: Settings;
  readonly #delivery: Delivery;
  readonly #opened: Promise<void> | undefined;
  readonly #unwatch: () => void;
  #closing: Promise<Settled> | undefined;

  /** Throws a TypeError or RangeError that names the option which is wrong, or what the storage throws: it is in use. Connects to nothing. */
  constructor(options: Options) {
    this.#settings = settingsOf(options);
    const { logger, storage } = this.#settings;
    const stored = storage?.open((message) => logger.warn(message)) ?? [];
    this.#delivery = new Delivery(this.#settings, inPage);
    this.questions = new Questions(this.#settings);
    if (Array.isArray(stored)) {
      this.#delivery.recover(stored);
    } else {
      this.#opened = stored.then(
        (events) => this.#delivery.recover(events),
        (error: unknown) => logger.warn(`what an earlier page left can't be read: ${String(error)}`),
      );
    }
    this.#unwatch = inPage
      ? watchPage({ hidden: () => this.#delivery.handOver(), online: () => this.#delivery.retryNow() })
      : warnAtExit(this.#delivery, this.#settings);
  }

  /**
   * Takes an event, to be sent soon. The event is copied; its id and timestamp are set now, and kept however often it is sent.
   *
   * Never throws, and never waits. False means that the event was refused at once: it can't be sent as it is
   * (`rejected`), the queue is full or the client closed (`dropped`). {@link Options.onOutcome} hears of it, as of every outcome.
   */
  track(event: Event): boolean {
    if (this.#closing !== undefined) {
      this.#delivery.refuse(event, { status: "dropped", reason: "closed" });
      return false;
    }
    try {
      return this.#delivery.add(serialize(event));
    } catch (error) {
      if (!(error instanceof NotAnEvent)) {
        // A getter or toJSON of the caller's that throws; or a defect of ours, which isn't the caller's fault either.
        error = new NotAnEvent("", "type", `can't be read: ${error instanceof Error ? error.message : String(error)}`);
      }
      const { violation } = error as NotAnEvent;
      this.#settings.logger.warn(`an event is not sent: ${violation.pointer} ${violation.detail}`.replace("  ", " "));
      this.#delivery.refuse(event, { status: "rejected", violations: [violation] });
      return false;
    }
  }

  /**
   * Sends what waits without waiting for more, and returns when all that was tracked before is settled, whatever the outcomes, or the
   * time is over: then `ok` is false and `left` says how many aren't. Pauses after failures are kept.
   */
  async flush(timeoutMs = defaultTimeoutMs): Promise<Settled> {
    await this.#whenOpened(timeoutMs);
    return this.#delivery.flush(timeoutMs);
  }

  /**
   * Ends the client: takes no more events, delivers those it has, and cuts short the pause after a failure that it may be in.
   * What is left when the time is over is dropped, or stays in the storage for the next client. Calling it again is fine.
   */
  close(timeoutMs = defaultTimeoutMs): Promise<Settled> {
    return (this.#closing ??= this.#close(timeoutMs));
  }

  /** Waits until the storage has said what an earlier client left, at most so long. */
  async #whenOpened(timeoutMs: number): Promise<void> {
    if (this.#opened === undefined) return;
    let timer: ReturnType<typeof setTimeout>;
    await Promise.race([this.#opened, new Promise((resolve) => (timer = setTimeout(resolve, timeoutMs)))]);
    clearTimeout(timer!);
  }

  async #close(timeoutMs: number): Promise<Settled> {
    await this.#whenOpened(timeoutMs);
    const settled = await this.#delivery.close(timeoutMs);
    this.#unwatch();
    this.#settings.storage?.close();
    return settled;
  }

  /** What this client has done so far. */
  stats(): Stats {
    return this.#delivery.stats;
  }
}

/** Clients of this process that aren't closed: one listener is for all of them. */
const unclosed = new Map<Delivery, Settings>();

function warnOfUndelivered(): void {
  for (const [delivery, { logger, storage }] of unclosed) {
    const { queued } = delivery.stats;
    if (queued > 0 && storage === undefined) logger.warn(`the program ends with ${queued} events undelivered: close the client before`);
  }
}

/** In Node, says that events are lost when the program ends before they are delivered. */
function warnAtExit(delivery: Delivery, settings: Settings): () => void {
  const process = (globalThis as { process?: { on?: Listening; off?: Listening } }).process;
  if (unclosed.size === 0) process?.on?.("beforeExit", warnOfUndelivered);
  unclosed.set(delivery, settings);
  return () => {
    unclosed.delete(delivery);
    if (unclosed.size === 0) process?.off?.("beforeExit", warnOfUndelivered);
  };
}

type Listening = (name: "beforeExit", listener: () => void) => unknown;
