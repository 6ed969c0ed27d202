// Measures what track costs its caller, and how many events per second reach a real server on this machine.
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";

import { startServer } from "../../../test/browser/server.js";
import { Analytics } from "../dist/index.js";
import { FileStorage } from "../dist/node.js";

const payload = { item: "book", price: 12.5, tags: ["new", "paper"], customer: { plan: "pro", country: "DE" } };
const tracked = 5000; // events in a run, half a queue
const event = { user_id: 42, event_type: "purchase", payload };

console.log(`Node ${process.version}, ${cpus().length} CPUs, ${cpus()[0]?.model}`);
const plain = stringify();
const rows = [["JSON.stringify of the payload alone", `${ns(plain.ns)} of CPU`, `${plain.bytes} B`]];

// Nothing is sent within these loops, which never let go of the event loop.
const memory = track({});
rows.push(["track", `${ns(memory.ns)} of CPU`, `${memory.bytes} B`]);
const folder = mkdtempSync(join(tmpdir(), "analytics-bench-"));
try {
  let run = 0;
  const disk = track({}, () => new FileStorage(join(folder, String(run++))));
  rows.push(["track, with a queue on disk", `${ns(disk.ns)} of CPU`, `${disk.bytes} B`]);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
const full = track({ maxQueueEvents: 1 });
rows.push(["track, with a full queue", `${ns(full.ns)} of CPU`, `${full.bytes} B`]);
print(rows);
rows.length = 0;

const server = await startServer();
try {
  await deliver(server.url, {}); // to warm up
  for (const [name, options] of [["500 a batch, gzip", {}], ["500 a batch", { gzip: false }], ["5,000 a batch", { maxBatchEvents: 5000, gzip: false }]]) {
    rows.push([`delivered, ${name}`, `${(await deliver(server.url, options)).toLocaleString("en")} events/s`]);
  }
} finally {
  await server.stop();
}
print(rows);
process.exit(0); // what was only queued stays undelivered

// measure returns the CPU time of a call, the collector's included, and the bytes that it keeps.
function measure(n, work) {
  globalThis.gc();
  const heap = process.memoryUsage().heapUsed;
  const cpu = process.cpuUsage();
  work(n);
  const { user, system } = process.cpuUsage(cpu);
  globalThis.gc();
  return { ns: ((user + system) * 1000) / n, bytes: Math.max(0, Math.round((process.memoryUsage().heapUsed - heap) / n)) };
}

// best of several, so that what else the machine does counts less. The bytes are what stays until the event is delivered.
function best(measureOnce) {
  measureOnce();
  const runs = Array.from({ length: 5 }, measureOnce);
  return runs.reduce((a, b) => (b.ns < a.ns ? b : a));
}

function stringify() {
  let length = 0;
  return best(() => measure(tracked, (n) => { for (let i = 0; i < n; i++) length += JSON.stringify(payload).length; }));
}

function track(options, storage = () => undefined) {
  return best(() => {
    const analytics = new Analytics({
      url: "http://127.0.0.1:9", flushIntervalMs: 3_600_000, maxBatchEvents: 5000, maxQueueBytes: 2 ** 30,
      logger: { warn() {}, info() {} }, ...options, storage: storage(),
    });
    return measure(tracked, (n) => { for (let i = 0; i < n; i++) analytics.track(event); });
  });
}

async function deliver(url, options) {
  const count = 20_000;
  const analytics = new Analytics({ url, maxQueueEvents: count, maxQueueBytes: 2 ** 30, ...options });
  const started = performance.now();
  for (let i = 0; i < count; i++) analytics.track(event);
  const { ok } = await analytics.close(300_000);
  if (!ok || analytics.stats().accepted !== count) throw new Error(`not all were delivered: ${JSON.stringify(analytics.stats())}`);
  return Math.round(count / ((performance.now() - started) / 1000));
}

function ns(n) {
  return n < 1000 ? `${n.toFixed(0)} ns` : `${(n / 1000).toFixed(2)} µs`;
}

function print(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  for (const row of rows) console.log(row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column]))).join("  ").trimEnd());
}
