import type { components } from "./contract.gen.js";
import { uuidv7 } from "./uuid.js";

/**
 * Why the contract refuses a value: where, a stable code, and the rule in words. The code is `content_too_large` for an event
 * that is too large even alone in a request.
 */
export type Violation = Omit<components["schemas"]["Violation"], "code"> & {
  code: components["schemas"]["ViolationCode"] | "content_too_large";
};

/** One thing that a user did, as {@link Analytics.track} takes it. */
export interface Event {
  /** Who did it: from 1 to 2^63-1; pass a bigint for what is over 2^53-1. */
  user_id: number | bigint;
  /** What kind of event: 1 to 128 characters, a letter or digit, then letters, digits and `_ . : -`. */
  event_type: string;
  /**
   * Whatever else is worth keeping: an object of at most 64 KiB as JSON. It is copied at once, the way
   * `JSON.stringify` does: members that are `undefined` are left out, dates become strings.
   */
  payload?: object | null | undefined;
  /** When, in Unix seconds. Without it: now. */
  timestamp?: number | undefined;
  /** A UUID, which makes the event the same one wherever it is sent again. Without it: a new UUIDv7. */
  event_id?: string | undefined;
}

/** What became of an event, for good. */
export type Outcome =
  /** Stored by this client's request. */
  | { status: "accepted"; event: Event }
  /** Stored before: mostly by a request whose answer got lost. */
  | { status: "duplicate"; event: Event }
  /** It breaks the contract, says the client or the server. */
  | { status: "rejected"; event: Event; violations: Violation[] }
  /** Given up: the queue was full, or the client was closed before it could be delivered, in which case it may be stored. */
  | { status: "dropped"; event: Event; reason: "queue_full" | "closed" }
  /** The server refused the whole request in a way that sending it again won't change. */
  | { status: "failed"; event: Event; httpStatus: number; code: string; detail?: string | undefined };

/** The largest event that the contract takes, in bytes of JSON. */
export const maxEventBytes = 128 * 1024;

/** An event as JSON, which is what is kept and sent. */
export interface Serialized {
  id: string;
  json: string;
  /** Of the JSON in UTF-8. */
  bytes: number;
}

/** Thrown by {@link serialize}; never leaves the package. */
export class NotAnEvent extends Error {
  readonly violation: Violation;
  constructor(pointer: string, code: Violation["code"], detail: string) {
    super(detail);
    this.violation = { pointer, code, detail };
  }
}

/**
 * Writes the event as JSON, with an id and a timestamp. What only the server can judge is
 * left to the server; what can't be sent as it is meant is a {@link NotAnEvent}.
 */
export function serialize(event: Event): Serialized {
  if (typeof event !== "object" || event === null) throw new NotAnEvent("", "type", "must be an object");
  const { event_id, user_id, event_type, timestamp, payload, ...others } = event;
  const id = event_id ?? uuidv7();
  if (typeof id !== "string") throw new NotAnEvent("/event_id", "type", "must be a string");
  let json =
    `{"event_id":${text(id)},"user_id":${integer(user_id)},"event_type":${text(event_type)}` +
    `,"timestamp":${text(timestamp ?? Math.floor(Date.now() / 1000))}`;
  if (payload !== undefined && payload !== null) json += `,"payload":${object(payload)}`;
  // Misspelt names: the server says so, which beats losing what they carry.
  for (const [name, value] of Object.entries(others)) {
    if (value !== undefined) json += `,${JSON.stringify(name)}:${text(value)}`;
  }
  json += "}";
  const bytes = utf8Length(json);
  if (bytes > maxEventBytes) throw new NotAnEvent("", "too_large", `the event is ${bytes} bytes of JSON, at most ${maxEventBytes} are allowed`);
  return { id, json, bytes };
}

/** Reads what {@link serialize} wrote, or undefined. Any id in it is text. */
export function deserialize(json: string): (Event & { event_id: string }) | undefined {
  try {
    const event = JSON.parse(json) as Event;
    if (typeof event !== "object" || event === null || typeof event.event_id !== "string") return undefined;
    if (typeof event.user_id === "number" && !Number.isSafeInteger(event.user_id)) {
      const digits = /,"user_id":(-?\d+)[,}]/.exec(json)?.[1];
      if (digits !== undefined) event.user_id = BigInt(digits);
    }
    return event as Event & { event_id: string };
  } catch {
    return undefined;
  }
}

function text(value: unknown): string {
  return JSON.stringify(value) ?? "null";
}

function integer(value: unknown): string {
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value)) {
    throw new NotAnEvent("/user_id", "number_out_of_range", "is over 2^53-1, where numbers lose digits: pass a bigint");
  }
  return text(value);
}

function object(value: object): string {
  let json: string | undefined;
  try {
    json = JSON.stringify(value);
  } catch (error) {
    throw new NotAnEvent("/payload", "type", `can't be written as JSON: ${error instanceof Error ? error.message.split("\n")[0] : error}`);
  }
  if (json === undefined || json[0] !== "{") throw new NotAnEvent("/payload", "type", "must be an object");
  return json;
}

/** How many bytes the text has in UTF-8. Half surrogate pairs count as what takes their place. */
export function utf8Length(s: string): number {
  let bytes = s.length;
  for (let i = 0; i < s.length; i++) {
    const c = s.charCodeAt(i);
    if (c < 0x80) continue;
    if (c < 0x800) bytes += 1;
    else if (c >= 0xd800 && c < 0xdc00 && (s.charCodeAt(i + 1) & 0xfc00) === 0xdc00) {
      bytes += 2; // a pair, two units, is four bytes
      i++;
    } else bytes += 2;
  }
  return bytes;
}
