import type { Outcome } from "./event.js";
import type { EventStorage } from "./storage.js";

/** Where the client says what it notices; `console` is one. It never gets a payload. */
export interface Logger {
  /** Something that may need somebody: the service is away, an event couldn't be kept. */
  warn(message: string): void;
  /** Something that is good to know. */
  info(message: string): void;
}

/** What a client can be told. Times are in milliseconds. */
export interface Options {
  /** Where the service is, `https://analytics.example`. In a page of another origin, that origin must be in its `CORS_ORIGINS`. */
  url: string | URL;
  /** Events in one request, at most 5000. Default 500. */
  maxBatchEvents?: number | undefined;
  /** Bytes of one request before compression, at most 8 MiB. Default 1 MiB. */
  maxBatchBytes?: number | undefined;
  /** For how long an event waits for others to be sent with. Default 1000. */
  flushIntervalMs?: number | undefined;
  /** Events that wait or are under way, at most. Default 10,000. */
  maxQueueEvents?: number | undefined;
  /** Bytes of their JSON, at most. Default 16 MiB. */
  maxQueueBytes?: number | undefined;
  /**
   * Which event goes when the queue is full: `drop_newest` (default), the one that is tracked, or `drop_oldest`, the
   * oldest that isn't under way. There is nothing like a policy that blocks: it would stop the event loop, which makes the room.
   */
  onFull?: "drop_newest" | "drop_oldest" | undefined;
  /** How long a request may take before it is tried again. Default 10,000. */
  requestTimeoutMs?: number | undefined;
  /** The longest first pause after a failure; it doubles with each one. Pauses are random up to that. Default 100. */
  backoffBaseMs?: number | undefined;
  /** The longest pause, but for a `Retry-After`, which is heeded up to 5 minutes. Default 30,000. */
  backoffMaxMs?: number | undefined;
  /** Whether to compress bodies of 1 KiB and more, where there is a CompressionStream. Default true. */
  gzip?: boolean | undefined;
  /** Keeps events that aren't delivered yet over reloads, restarts and crashes. Default: none, they are in memory. */
  storage?: EventStorage | undefined;
  /**
   * Is called for each event once it is settled, never within {@link Analytics.track}. What it throws is logged.
   */
  onOutcome?: ((outcome: Outcome) => void) | undefined;
  /** Default: warnings go to `console.warn`, the rest nowhere. */
  logger?: Logger | undefined;
  /** Sends requests. Default: the platform's `fetch`. */
  fetch?: typeof fetch | undefined;
}

/** Options with every default in its place. */
export type Settings = { [Name in Exclude<keyof Options, "url" | "storage" | "onOutcome">]-?: NonNullable<Options[Name]> } & {
  url: string;
  storage: EventStorage | undefined;
  onOutcome: ((outcome: Outcome) => void) | undefined;
};

const quiet: Logger = { warn: (message) => console.warn(`analytics: ${message}`), info: () => {} };

/** Puts defaults in place and throws a RangeError or TypeError that names the option which is wrong. */
export function settingsOf(options: Options): Settings {
  if (typeof options !== "object" || options === null) throw new TypeError("analytics: give options, at least { url }");
  const number = (name: keyof Options, fallback: number, lowest: number, highest: number): number => {
    const value = options[name] ?? fallback;
    if (typeof value !== "number" || !(value >= lowest && value <= highest)) {
      throw new RangeError(`analytics: ${name} is ${String(value)}, it must be a number from ${lowest} to ${highest}`);
    }
    return value;
  };
  const onFull = options.onFull ?? "drop_newest";
  if (onFull !== "drop_newest" && onFull !== "drop_oldest") {
    throw new RangeError(`analytics: onFull is ${String(onFull)}, it must be drop_newest or drop_oldest`);
  }
  return {
    url: baseURL(options.url),
    maxBatchEvents: number("maxBatchEvents", 500, 1, 5000),
    maxBatchBytes: number("maxBatchBytes", 1024 * 1024, 1024, 8 * 1024 * 1024),
    flushIntervalMs: number("flushIntervalMs", 1000, 0, 24 * 3600 * 1000),
    maxQueueEvents: number("maxQueueEvents", 10_000, 1, 10_000_000),
    maxQueueBytes: number("maxQueueBytes", 16 * 1024 * 1024, 1024, 2 ** 40),
    onFull,
    requestTimeoutMs: number("requestTimeoutMs", 10_000, 1, 3600 * 1000),
    backoffBaseMs: number("backoffBaseMs", 100, 1, 3600 * 1000),
    backoffMaxMs: number("backoffMaxMs", 30_000, 1, 3600 * 1000),
    gzip: (options.gzip ?? true) && typeof CompressionStream !== "undefined",
    storage: options.storage,
    onOutcome: options.onOutcome,
    logger: options.logger ?? quiet,
    // Bound, or browsers refuse to call it; looked up now, so that a page that replaces it later doesn't see events.
    fetch: options.fetch ?? fetch.bind(globalThis),
  };
}

function baseURL(url: string | URL): string {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    throw new TypeError("analytics: url must be where the service is, like https://analytics.example");
  }
  if (!/^https?:$/.test(parsed.protocol) || parsed.username !== "" || parsed.search !== "" || parsed.hash !== "") {
    throw new TypeError("analytics: url must begin with http:// or https:// and have no user, query or fragment");
  }
  return parsed.href.replace(/\/+$/, "");
}
