import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { appendFileSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";

import { Analytics, uuidv7, version } from "../dist/index.js";
import { FileStorage } from "../dist/node.js";

function folder(t) {
  const path = mkdtempSync(join(tmpdir(), "analytics-queue-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}
const stored = (n, pad = 0) => {
  const id = uuidv7();
  return { id, json: JSON.stringify({ event_id: id, user_id: 42, event_type: "view", timestamp: 1690000000, payload: { n, pad: "ü".repeat(pad) } }) };
};
// opened opens a directory, and returns what was in it.
function opened(t, path, warnings = []) {
  const storage = new FileStorage(path);
  const events = storage.open((message) => warnings.push(message));
  t.after(() => storage.close());
  return { storage, events };
}

test("the package knows its version", () => {
  assert.equal(version, JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")).version);
});

test("a file keeps what isn't delivered", (t) => {
  const path = join(folder(t), "made", "if missing");
  const events = Array.from({ length: 10 }, (_, n) => stored(n, n));
  const first = opened(t, path);
  assert.deepEqual(first.events, []);
  for (const event of events) first.storage.add(event);
  first.storage.remove([events[0].id, events[4].id, "unknown"]);
  first.storage.close();
  const second = opened(t, path);
  const left = events.filter((_, n) => n !== 0 && n !== 4);
  assert.deepEqual(second.events, left);
  second.storage.remove(left.map(({ id }) => id));
  assert.equal(statSync(join(path, "queue.ndjson")).size, 0, "nothing left, nothing on disk");
  second.storage.close();
  assert.deepEqual(opened(t, path).events, []);
});

test("lines that are torn are skipped and told, and what was whole is read", (t) => {
  const path = folder(t);
  const [a, b, c] = [stored(0), stored(1), stored(2)];
  // The last line is whole but for its end: who tracked it never heard that it was kept.
  writeFileSync(join(path, "queue.ndjson"), `${a.json}\n{"torn\n${b.json}\n{"delivered":["${a.id}"]}\n${c.json}`);
  const warnings = [];
  const { events, storage } = opened(t, path, warnings);
  assert.deepEqual(events, [b]);
  assert.equal(warnings.length, 2);
  for (const [i, line] of [2, 5].entries()) assert.match(warnings[i], new RegExp(`^line ${line} of .*queue.ndjson is torn, and is skipped$`));
  storage.add(c);
  storage.close();
  assert.deepEqual(opened(t, path, warnings).events, [b, c]);
  assert.equal(warnings.length, 2, "once");
});

test("a file that is mostly of delivered events is written anew", (t) => {
  const path = folder(t);
  const { storage } = opened(t, path);
  const keep = stored(-1);
  storage.add(keep);
  for (let n = 0; n < 200; n++) {
    const event = stored(n, 30_000);
    storage.add(event);
    storage.remove([event.id]);
    assert.ok(statSync(join(path, "queue.ndjson")).size < 4.2 * 1024 * 1024);
  }
  storage.close();
  assert.deepEqual(opened(t, path).events, [keep]);
  assert.deepEqual(readdirSync(path).sort(), ["queue.lock", "queue.ndjson"]);
});

test("a directory belongs to one client, until it is closed or killed", async (t) => {
  const path = folder(t);
  const { storage } = opened(t, path);
  assert.throws(() => opened(t, path), /in use by another client of this process/);
  assert.throws(() => new Analytics({ url: "http://service.test", storage: new FileStorage(path) }), /in use/);
  storage.close();

  const other = runScript(`
    import { FileStorage } from "DIST/node.js";
    new FileStorage(${JSON.stringify(path)}).open(() => {});
    console.log("open");
    setInterval(() => {}, 1000);`);
  t.after(() => other.child.kill("SIGKILL"));
  await new Promise((resolve) => other.child.stdout.once("data", resolve));
  assert.throws(() => opened(t, path), new RegExp(`in use by process ${other.child.pid}: give each process a directory of its own`));
  other.child.kill("SIGKILL");
  await other.ended;
  opened(t, path).storage.close();

  // A number that was used before is another process.
  writeFileSync(join(path, "queue.lock"), JSON.stringify({ pid: 1, started: "0" }));
  opened(t, path).storage.close();
  writeFileSync(join(path, "queue.lock"), "");
  opened(t, path).storage.close();
  // As in a container that is started anew.
  writeFileSync(join(path, "queue.lock"), JSON.stringify({ pid: process.pid, started: "0" }));
  opened(t, path).storage.close();
});

test("a directory that can't be one is told", (t) => {
  const path = join(folder(t), "file");
  appendFileSync(path, "");
  assert.throws(() => opened(t, path), /EEXIST|ENOTDIR/);
});

// runScript runs a module in a process of its own.
function runScript(source) {
  const code = source.replaceAll("DIST", new URL("../dist", import.meta.url).href);
  const child = spawn(process.execPath, ["--input-type=module", "--eval", code], { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (output += text));
  const ended = new Promise((resolve) => child.once("close", (code, signal) => resolve({ code, signal, output })));
  return { child, ended };
}

// accepting is a server that accepts every event and keeps it.
async function accepting(t) {
  const events = [];
  const server = createServer((request, response) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk)).on("end", () => {
      const body = Buffer.concat(chunks);
      const text = (request.headers["content-encoding"] === "gzip" ? gunzipSync(body) : body).toString();
      const batch = text.split("\n").map((line) => JSON.parse(line));
      events.push(...batch);
      response.writeHead(202).end(JSON.stringify({ received: batch.length, duplicate: 0, rejected: 0, retry: 0, results: [] }));
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => new Promise((resolve) => { server.close(resolve); server.closeAllConnections(); }));
  return { url: `http://127.0.0.1:${server.address().port}`, events, server };
}

test("a program that just ends has delivered its events", async (t) => {
  const { url, events } = await accepting(t);
  const { ended } = runScript(`
    import { Analytics } from "DIST/index.js";
    const analytics = new Analytics({ url: "${url}" });
    for (let n = 0; n < 1200; n++) analytics.track({ user_id: 42, event_type: "view", payload: { n } });`);
  assert.deepEqual(await ended, { code: 0, signal: null, output: "" });
  assert.deepEqual(events.map(({ payload }) => payload.n), Array.from({ length: 1200 }, (_, n) => n));
});

test("a program ends though the server is away, and says what it loses", async (t) => {
  const { url, server } = await accepting(t);
  await new Promise((resolve) => server.close(resolve));
  const { ended } = runScript(`
    import { Analytics } from "DIST/index.js";
    const analytics = new Analytics({ url: "${url}", backoffBaseMs: 60_000, backoffMaxMs: 60_000, flushIntervalMs: 10 });
    analytics.track({ user_id: 42, event_type: "view" });`);
  const { code, output } = await ended;
  assert.equal(code, 0);
  assert.match(output, /sent again later: fetch failed.*\n.*the program ends with 1 events undelivered: close the client before/);
});

test("what a killed program tracked is sent by the next", async (t) => {
  const { url, events } = await accepting(t);
  const path = folder(t);
  const { ended } = runScript(`
    import { Analytics } from "DIST/index.js";
    import { FileStorage } from "DIST/node.js";
    const analytics = new Analytics({ url: "http://127.0.0.1:9", storage: new FileStorage(${JSON.stringify(path)}), logger: { warn() {}, info() {} } });
    for (let n = 0; n < 100; n++) analytics.track({ user_id: 42, event_type: "view", payload: { n } });
    process.kill(process.pid, "SIGKILL");`);
  assert.equal((await ended).signal, "SIGKILL");
  const kept = readFileSync(join(path, "queue.ndjson"), "utf8").trim().split("\n").map((line) => JSON.parse(line));
  const analytics = new Analytics({ url, storage: new FileStorage(path) });
  assert.deepEqual(await analytics.close(), { ok: true, left: 0 });
  assert.deepEqual(events, kept);
  assert.deepEqual(events.map(({ payload }) => payload.n), Array.from({ length: 100 }, (_, n) => n));
});
