// Does the steps of a shared scenario: see test/sdk/README.md.
import { readFileSync, writeFileSync, writeSync } from "node:fs";

import { Analytics } from "../dist/index.js";
import { FileStorage } from "../dist/node.js";

const { options, durable, steps } = JSON.parse(readFileSync(0, "utf8"));

// A queue on disk that tells which events it was given: at a crash their outcomes are due.
const waiting = new Map(); // JSON by id
class ObservedStorage extends FileStorage {
  add(event) {
    super.add(event);
    waiting.set(event.id, event.json);
  }
}

const settled = [];
let wake = () => {};
const log = (level) => (message) => writeSync(2, `${level} ${message}\n`);
const analytics = new Analytics({
  url: process.env.ANALYTICS_URL,
  maxBatchEvents: options.max_batch_events,
  maxBatchBytes: options.max_batch_bytes,
  flushIntervalMs: options.flush_interval_ms,
  maxQueueEvents: options.max_queue_events,
  maxQueueBytes: options.max_queue_bytes,
  // There is no policy that blocks; one that blocked in vain would drop the newest.
  onFull: options.on_full === "block" ? "drop_newest" : options.on_full,
  requestTimeoutMs: options.request_timeout_ms,
  backoffBaseMs: options.backoff_base_ms,
  backoffMaxMs: options.backoff_max_ms,
  gzip: options.gzip,
  storage: durable ? new ObservedStorage(process.env.QUEUE_DIR) : undefined,
  onOutcome(outcome) {
    waiting.delete(outcome.event.event_id);
    settled.push({ ...outcome.event, outcome: outcome.status, code: codeOf(outcome) });
    wake();
  },
  logger: { warn: log("WARN"), info: log("INFO") },
});

let tracked = 0;
let closed = null;
const flushes = [];

function track(event) {
  tracked++;
  analytics.track(event);
}

function codeOf({ status, violations, reason, code }) {
  switch (status) {
    case "rejected":
      return violations[0]?.code ?? "";
    case "dropped":
      return reason;
    case "failed":
      return code;
  }
  return "";
}

// numbered replaces "$i" in a payload, wherever it stands, and pads the payload.
function numbered(payload, i, bytes) {
  if (payload === null || payload === undefined) return undefined;
  const copy = JSON.parse(JSON.stringify(payload), (_, value) => (value === "$i" ? i : value));
  if (bytes > 0) copy.pad = "x".repeat(bytes);
  return copy;
}

function awaitSettled(count, timeoutMs) {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      log("ERROR")(`${settled.length} of ${count} events were settled in ${timeoutMs} ms`);
      process.exit(1);
    }, timeoutMs);
    wake = () => {
      if (settled.length < count) return;
      clearTimeout(timer);
      resolve();
    };
    wake();
  });
}

function report() {
  const events = [...settled, ...Array.from(waiting.values(), (json) => ({ ...JSON.parse(json), outcome: "pending", code: "" }))];
  const stats = analytics.stats();
  const answer = Buffer.from(`${JSON.stringify({ sdk: "typescript", events, tracked, flushes, closed, stats, requests: stats.requests })}\n`);
  for (let written = 0; written < answer.length; ) written += writeSync(1, answer, written);
}

for (const step of steps) {
  switch (step.do) {
    case "track":
      for (let i = 0; i < step.count; i++) {
        const payload = numbered(step.payload, i, step.payload_bytes ?? 0);
        track({ user_id: step.user_id, event_type: step.event_type, payload, timestamp: step.timestamp ?? undefined });
      }
      break;
    case "track_raw":
      track(step.event);
      break;
    case "flush":
      flushes.push((await analytics.flush(step.timeout_ms)).ok);
      break;
    case "close":
      closed = (await analytics.close(step.timeout_ms)).ok;
      break;
    case "wait_settled":
      await awaitSettled(step.count, step.timeout_ms);
      break;
    case "wait_retries":
      for (const end = Date.now() + step.timeout_ms; analytics.stats().retries < step.count; await new Promise((done) => setTimeout(done, 1))) {
        if (Date.now() > end) {
          log("ERROR")(`${analytics.stats().retries} retries, not ${step.count}, in ${step.timeout_ms} ms`);
          process.exit(1);
        }
      }
      writeFileSync("retried", "");
      break;
    case "crash":
      report();
      process.kill(process.pid, "SIGKILL");
      await new Promise(() => {}); // the signal is on its way
      break;
    default:
      log("ERROR")(`the step ${step.do} is not known`);
      process.exit(2);
  }
}
await null; // the last outcomes are reported
report();
