import type { components } from "./contract.gen.js";
import type { Serialized, Violation } from "./event.js";
import type { Settings } from "./options.js";
import { version } from "./version.js";

type BatchReceipt = components["schemas"]["BatchReceipt"];

/** What the server said about one event. */
export type Fate = { status: "received" | "duplicate" | "retry" } | { status: "rejected"; violations: Violation[] };

/** What became of a request with events. */
export type Answer =
  /** A fate for each event of the batch; with pauseMs from Retry-After, for those to be sent again. */
  | { kind: "receipt"; fates: Fate[]; pauseMs: number }
  /** Nothing is known, or nothing was stored: send it again, not before pauseMs. */
  | { kind: "again"; why: string; pauseMs: number }
  /** Too large: send less at once. */
  | { kind: "too_large"; detail: string }
  /** Sending it again gets the same. */
  | { kind: "refused"; httpStatus: number; code: string; detail: string | undefined };

/** How a body is sent. */
export interface Mode {
  /** The browser finishes the request even if the page ends. */
  keepalive: boolean;
  /** Compressing takes a while, which an ending page doesn't have. */
  gzip: boolean;
}

/** A Retry-After beyond this is a mistake. */
const longestPauseMs = 5 * 60 * 1000;

/** Below this compressing isn't worth it. */
const gzipFromBytes = 1024;

/** Whether the platform is a server's: there requests can say who sends them. */
const isNode = "process" in globalThis && typeof document === "undefined" && typeof WorkerGlobalScope === "undefined";

declare const WorkerGlobalScope: unknown; // of web workers

/** Headers of every request: User-Agent where it can be set. Elsewhere it would only cost a preflight. */
export const platformHeaders: Readonly<Record<string, string>> = isNode ? { "User-Agent": `analytics-typescript/${version}` } : {};

/** How many bytes a batch is before compression: lines with their breaks, but for the last one's. */
export function bodyBytes(events: readonly Serialized[]): number {
  let bytes = events.length - 1;
  for (const event of events) bytes += event.bytes;
  return bytes;
}

/** Sends one batch to `POST /events`. Never throws. */
export class Transport {
  readonly #settings: Settings;
  readonly #underway = new Set<AbortController>();
  /** Tries so far. */
  requests = 0;

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  /** Gives up every request under way. */
  abort(): void {
    for (const controller of this.#underway) controller.abort(new Error("the client was closed"));
  }

  /** Sends the batch, and waits for the whole answer or requestTimeoutMs. Without gzip the request is on its way when this returns. */
  async send(events: readonly Serialized[], mode: Mode): Promise<Answer> {
    const controller = new AbortController();
    this.#underway.add(controller);
    const timeout = this.#settings.requestTimeoutMs;
    const timer = setTimeout(() => controller.abort(new Error(`no answer within ${timeout} ms`)), timeout);
    try {
      const headers: Record<string, string> = { ...platformHeaders, "Content-Type": "application/x-ndjson" };
      let body: string | ArrayBuffer = events.map((event) => event.json).join("\n");
      if (mode.gzip && bodyBytes(events) >= gzipFromBytes) {
        body = await gzip(body);
        headers["Content-Encoding"] = "gzip";
      }
      this.requests++;
      const response = await this.#settings.fetch(`${this.#settings.url}/events`, {
        method: "POST",
        headers,
        body,
        signal: controller.signal,
        keepalive: mode.keepalive,
        credentials: "omit",
        cache: "no-store",
        referrerPolicy: "no-referrer",
      });
      return judge(response.status, retryAfterMs(response.headers.get("Retry-After")), await response.text(), events.length);
    } catch (error) {
      return { kind: "again", why: reason(controller.signal.aborted ? controller.signal.reason : error), pauseMs: 0 };
    } finally {
      clearTimeout(timer);
      this.#underway.delete(controller);
    }
  }
}

/** Reads an answer. A 202 that doesn't account for every event is no receipt: something on the way made it. */
function judge(status: number, pauseMs: number, body: string, sent: number): Answer {
  if (status === 202) {
    const fates = fatesOf(parse(body), sent);
    return fates === undefined ? { kind: "again", why: "the answer 202 is no receipt", pauseMs } : { kind: "receipt", fates, pauseMs };
  }
  const problem = parse(body) as Partial<components["schemas"]["Problem"]> | undefined;
  const code = typeof problem?.code === "string" ? problem.code : `http_${status}`;
  const detail = typeof problem?.detail === "string" ? problem.detail : undefined;
  if (status === 413) return { kind: "too_large", detail: detail ?? "the server takes no request of this size" };
  const broken = brokenOf(problem?.errors, sent);
  if (status === 422 && broken !== undefined) return { kind: "receipt", fates: broken, pauseMs: 0 };
  if (status >= 400 && status < 500 && status !== 408 && status !== 429) return { kind: "refused", httpStatus: status, code, detail };
  return { kind: "again", why: `the answer ${status} ${code}`, pauseMs };
}

/** Sorts the violations of a batch in which every event breaks the contract: the answer says how, of as many as it has room for. */
function brokenOf(errors: Violation[] | undefined, sent: number): Fate[] | undefined {
  if (!Array.isArray(errors)) return undefined;
  const violations = Array.from({ length: sent }, (): Violation[] => []);
  for (const error of errors) {
    const [, index, pointer] = /^\/(\d+)(\/.*)?$/s.exec(String(error.pointer)) ?? [];
    if (index !== undefined) violations[Number(index)]?.push({ ...error, pointer: pointer ?? "" });
  }
  if (violations.every((list) => list.length === 0)) return undefined;
  return violations.map((list) => ({ status: "rejected", violations: list }));
}

function fatesOf(parsed: unknown, sent: number): Fate[] | undefined {
  const receipt = parsed as BatchReceipt | undefined;
  if (receipt?.received === undefined || !Array.isArray(receipt.results)) return undefined;
  if (receipt.received + receipt.duplicate + receipt.rejected + receipt.retry !== sent) return undefined;
  const fates = Array.from({ length: sent }, (): Fate => ({ status: "received" }));
  for (const { index, status, errors } of receipt.results) {
    if (!(index in fates)) return undefined;
    if (status === "rejected") fates[index] = { status, violations: errors ?? [] };
    else if (status === "received" || status === "duplicate" || status === "retry") fates[index] = { status };
    else return undefined;
  }
  return fates;
}

function parse(body: string): unknown {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Reads Retry-After, seconds or a date, as milliseconds from now; 0 without one. */
export function retryAfterMs(header: string | null, now = Date.now()): number {
  if (header === null) return 0;
  const ms = /^\s*\d+\s*$/.test(header) ? Number(header) * 1000 : Date.parse(header) - now;
  return ms > 0 ? Math.min(ms, longestPauseMs) : 0;
}

/** Says why a request failed, with what fetch keeps in the cause. */
function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause instanceof Error ? error.cause : undefined;
  const because = cause === undefined ? "" : cause.message || (cause as { code?: string }).code || "";
  return because === "" ? error.message : `${error.message}: ${because}`;
}

async function gzip(text: string): Promise<ArrayBuffer> {
  return new Response(new Blob([text]).stream().pipeThrough(new CompressionStream("gzip"))).arrayBuffer();
}
