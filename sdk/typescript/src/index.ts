/**
 * The client of the High-Load Analytics API for browsers and Node: {@link Analytics} sends events and asks questions.
 * What only Node has is in `highload-analytics/node`.
 *
 * @packageDocumentation
 */
export { Analytics } from "./client.js";
export type { components, operations, paths } from "./contract.gen.js";
export type { Settled, Stats } from "./delivery.js";
export type { Event, Outcome, Violation } from "./event.js";
export { IndexedDBStorage, type IndexedDBStorageOptions } from "./indexeddb.js";
export type { Logger, Options } from "./options.js";
export { type AskOptions, type Problem, ProblemError, type Questions } from "./questions.js";
export { type EventStorage, LocalStorage, type LocalStorageOptions, MemoryStorage, type StoredEvent } from "./storage.js";
export { uuidv7 } from "./uuid.js";
export { version } from "./version.js";
