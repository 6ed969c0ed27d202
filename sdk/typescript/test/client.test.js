import assert from "node:assert/strict";
import { test } from "node:test";

import { Analytics, MemoryStorage } from "../dist/index.js";

const uuid7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

// scripted is a fetch that answers as the functions say, one for each request and the last for all others; without
// any every event is accepted. It keeps what was sent.
function scripted(...answers) {
  const requests = [];
  const fetch = async (url, init) => {
    const text = typeof init.body === "string" ? init.body : await new Response(new Blob([init.body]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
    const request = { url, init, lines: text.split("\n"), events: text.split("\n").map((line) => JSON.parse(line)) };
    requests.push(request);
    return (answers.length > 1 ? answers.shift() : (answers[0] ?? taken))(request);
  };
  return { fetch, requests };
}
const receipt = (counts, results = []) =>
  new Response(JSON.stringify({ received: 0, duplicate: 0, rejected: 0, retry: 0, ...counts, results }), { status: 202 });
const taken = ({ events }) => receipt({ received: events.length });
const problem = (status, code, headers = {}) => () => new Response(JSON.stringify({ type: `/problems/${code}`, title: code, status, code }), { status, headers });
const never = ({ init }) => new Promise((_, reject) => init.signal.addEventListener("abort", () => reject(init.signal.reason)));

// start makes a client that logs and reports to arrays, and closes it after the test.
function start(t, fetch, options = {}) {
  const outcomes = [];
  const log = [];
  const logger = { warn: (message) => log.push(`WARN ${message}`), info: (message) => log.push(`INFO ${message}`) };
  const analytics = new Analytics({
    url: "http://service.test/base/", fetch, logger, backoffBaseMs: 1, backoffMaxMs: 5, onOutcome: (outcome) => outcomes.push(outcome), ...options,
  });
  t.after(() => analytics.close(0));
  return { analytics, outcomes, log };
}
const view = (n) => ({ user_id: 42, event_type: "view", payload: { n } });
const numbers = (request) => request.events.map((event) => event.payload.n);

test("an event gets an id and a time, and is what it was when it was tracked", async (t) => {
  const { fetch, requests } = scripted();
  const { analytics, outcomes } = start(t, fetch);
  const payload = { n: 0, inner: { text: "Grüße \u2028 😀" } };
  const before = Math.floor(Date.now() / 1000);
  assert.equal(analytics.track({ user_id: 42, event_type: "view", payload }), true);
  payload.inner.text = "changed";
  assert.equal(analytics.track({ user_id: 2n ** 63n - 1n, event_type: "view", event_id: "01890a5d-ac96-774b-bcce-b302099a8057", timestamp: 1690000000 }), true);
  assert.equal(requests.length, 0, "nothing is sent within track");
  assert.deepEqual(await analytics.flush(), { ok: true, left: 0 });

  const [{ url, init, events, lines }] = requests;
  assert.equal(url, "http://service.test/base/events");
  assert.equal(init.headers["Content-Type"], "application/x-ndjson");
  assert.match(init.headers["User-Agent"], /^analytics-typescript\/\d+\.\d+\.\d+$/);
  assert.match(events[0].event_id, uuid7);
  assert.ok(events[0].timestamp >= before && events[0].timestamp <= Date.now() / 1000);
  assert.deepEqual(events[0].payload, { n: 0, inner: { text: "Grüße \u2028 😀" } });
  assert.equal(lines[1], '{"event_id":"01890a5d-ac96-774b-bcce-b302099a8057","user_id":9223372036854775807,"event_type":"view","timestamp":1690000000}');
  assert.deepEqual(outcomes.map(({ status }) => status), ["accepted", "accepted"]);
  assert.equal(outcomes[1].event.user_id, 2n ** 63n - 1n);
  assert.deepEqual(analytics.stats(), { queued: 0, accepted: 2, duplicate: 0, rejected: 0, dropped: 0, failed: 0, retries: 0, requests: 1 });
});

test("track never throws, and says what is wrong", async (t) => {
  const { fetch, requests } = scripted();
  const { analytics, outcomes, log } = start(t, fetch);
  const circular = {};
  circular.circular = circular;
  const wrong = [
    [null, "type"],
    ["an event", "type"],
    [{ ...view(1), payload: [1] }, "type"],
    [{ ...view(1), payload: new Date() }, "type"],
    [{ ...view(1), payload: () => {} }, "type"],
    [{ ...view(1), payload: circular }, "type"],
    [{ ...view(1), payload: { n: 1n } }, "type"],
    [{ ...view(1), payload: { toJSON: () => { throw new Error("on purpose"); } } }, "type"],
    [{ get user_id() { throw new Error("on purpose"); } }, "type"],
    [{ ...view(1), user_id: 2 ** 53 }, "number_out_of_range"],
    [{ ...view(1), event_id: 7 }, "type"],
    [{ ...view(1), payload: { pad: "ü".repeat(64 * 1024) } }, "too_large"],
  ];
  for (const [event] of wrong) assert.equal(analytics.track(event), false);
  assert.deepEqual(outcomes, [], "outcomes aren't reported within track");
  await analytics.flush();
  assert.deepEqual(outcomes.map(({ status, violations }) => [status, violations[0].code]), wrong.map(([, code]) => ["rejected", code]));
  assert.equal(requests.length, 0);
  assert.equal(analytics.stats().rejected, wrong.length);
  assert.ok(log.every((line) => !line.includes("üü")), "payloads are not logged");
});

test("what only the server can judge is sent, misspelt names too", async (t) => {
  const { fetch, requests } = scripted();
  const { analytics } = start(t, fetch);
  analytics.track({ userId: 42, event_type: 7, timestamp: "now" });
  await analytics.flush();
  const { event_id, ...event } = requests[0].events[0];
  assert.match(event_id, uuid7);
  assert.deepEqual(event, { user_id: null, event_type: 7, timestamp: "now", userId: 42 });
});

test("wrong options are named", () => {
  for (const [options, message] of [
    [undefined, /give options/],
    [{}, /url must be/],
    [{ url: "service.test" }, /url must/],
    [{ url: "ftp://service.test" }, /url must begin/],
    [{ url: "http://user@service.test" }, /url must begin/],
    [{ url: "http://a", maxBatchEvents: 5001 }, /maxBatchEvents is 5001, it must be a number from 1 to 5000/],
    [{ url: "http://a", flushIntervalMs: NaN }, /flushIntervalMs/],
    [{ url: "http://a", onFull: "block" }, /onFull is block/],
  ]) {
    assert.throws(() => new Analytics(options), message);
  }
});

test("a callback that throws, or is async and rejects, harms nobody", async (t) => {
  const { fetch } = scripted();
  let calls = 0;
  const { analytics, log } = start(t, fetch, {
    onOutcome: () => {
      if (calls++ === 0) throw new Error("on purpose");
      return Promise.reject(new Error("later, on purpose"));
    },
  });
  analytics.track(view(0));
  analytics.track(view(1));
  await analytics.flush();
  await new Promise(setImmediate);
  assert.equal(calls, 2);
  assert.deepEqual(log, ["WARN onOutcome failed: on purpose", "WARN onOutcome failed: later, on purpose"]);
});

test("batches are full, or old", async (t) => {
  const { fetch, requests } = scripted();
  const { analytics } = start(t, fetch, { maxBatchEvents: 3, flushIntervalMs: 20 });
  for (let n = 0; n < 7; n++) analytics.track(view(n));
  await analytics.flush();
  assert.deepEqual(requests.map(numbers), [[0, 1, 2], [3, 4, 5], [6]]);
  analytics.track(view(7)); // nobody hurries this one
  await new Promise((resolve) => {
    const timer = setInterval(() => {
      if (analytics.stats().accepted < 8) return;
      clearInterval(timer);
      resolve();
    }, 5);
  });
  assert.deepEqual(numbers(requests[3]), [7]);
});

test("a batch that isn't full waits", async (t) => {
  const { fetch, requests } = scripted();
  const { analytics } = start(t, fetch, { maxBatchEvents: 3, flushIntervalMs: 3_600_000 });
  for (let n = 0; n < 5; n++) analytics.track(view(n));
  while (analytics.stats().accepted < 3) await new Promise(setImmediate);
  assert.deepEqual(requests.map(numbers), [[0, 1, 2]]);
  analytics.track(view(5));
  while (analytics.stats().accepted < 6) await new Promise(setImmediate);
  assert.deepEqual(requests.map(numbers), [[0, 1, 2], [3, 4, 5]]);
});

test("large bodies are compressed, small ones and those of who doesn't want it are not", async (t) => {
  for (const [gzip, pad, encoding] of [[undefined, 2000, "gzip"], [undefined, 10, undefined], [false, 2000, undefined]]) {
    const { fetch, requests } = scripted();
    const { analytics } = start(t, fetch, { gzip });
    analytics.track({ ...view(0), payload: { n: 0, pad: "ü".repeat(pad) } });
    await analytics.flush();
    assert.equal(requests[0].init.headers["Content-Encoding"], encoding);
    assert.equal(requests[0].events[0].payload.pad.length, pad);
  }
});

test("whatever may pass is tried again, the same", async (t) => {
  const { fetch, requests } = scripted(
    () => { throw new TypeError("fetch failed"); },
    problem(503, "unavailable"), problem(408, "request_timeout"), problem(500, "internal"), () => new Response("a proxy's page", { status: 502 }),
    () => new Response("{", { status: 202 }), () => receipt({ received: 1 }), () => new Response("welcome to our wireless network", { status: 200 }),
    () => receipt({ received: 1, duplicate: 1 }, [{ index: 1, status: "duplicate" }]),
  );
  const { analytics, outcomes, log } = start(t, fetch);
  analytics.track(view(0));
  analytics.track(view(1));
  assert.deepEqual(await analytics.flush(), { ok: true, left: 0 });
  assert.equal(requests.length, 9);
  for (const { events } of requests) assert.deepEqual(events, requests[0].events);
  assert.deepEqual(outcomes.map(({ status }) => status), ["accepted", "duplicate"]);
  assert.equal(analytics.stats().retries, 8);
  assert.deepEqual(log, ["WARN events are sent again later: fetch failed", "INFO events are delivered again"], "a row of failures is told once");
});

test("only what is to be sent again is, and what is refused is not", async (t) => {
  const violation = { pointer: "/user_id", code: "minimum", detail: "must be at least 1" };
  const { fetch, requests } = scripted(
    () => receipt({ received: 1, rejected: 1, retry: 2 }, [{ index: 1, status: "retry" }, { index: 2, status: "rejected", errors: [violation] }, { index: 3, status: "retry" }]),
    problem(401, "unauthorized"),
    taken,
  );
  const { analytics, outcomes } = start(t, fetch, { maxBatchEvents: 4 });
  for (let n = 0; n < 5; n++) analytics.track(view(n));
  await analytics.flush();
  assert.deepEqual(requests.map(numbers), [[0, 1, 2, 3], [1, 3], [4]]);
  const byNumber = Object.fromEntries(outcomes.map(({ event, ...outcome }) => [event.payload.n, outcome]));
  const failed = { status: "failed", httpStatus: 401, code: "unauthorized", detail: undefined };
  assert.deepEqual(byNumber, { 0: { status: "accepted" }, 1: failed, 2: { status: "rejected", violations: [violation] }, 3: failed, 4: { status: "accepted" } });
});

test("a batch that is too large is cut in halves, and one event alone is refused", async (t) => {
  const { fetch, requests } = scripted((request) => (numbers(request).includes(2) ? problem(413, "content_too_large")() : taken(request)));
  const { analytics, outcomes } = start(t, fetch);
  for (let n = 0; n < 5; n++) analytics.track(view(n));
  await analytics.flush();
  assert.deepEqual(requests.map(numbers), [[0, 1, 2, 3, 4], [0, 1, 2], [0, 1], [2], [3, 4]]);
  assert.deepEqual(outcomes.filter(({ status }) => status !== "accepted").map(({ status, event, violations }) => [status, event.payload.n, violations[0].code]), [["rejected", 2, "content_too_large"]]);
});

test("a request that hangs is given up in time", async (t) => {
  const { fetch, requests } = scripted(never, taken);
  const { analytics, log } = start(t, fetch, { requestTimeoutMs: 20 });
  analytics.track(view(0));
  assert.deepEqual(await analytics.flush(), { ok: true, left: 0 });
  assert.equal(requests.length, 2);
  assert.match(log[0], /no answer within 20 ms/);
});

test("a full queue drops as it is told", async (t) => {
  for (const [onFull, kept] of [["drop_newest", [0, 1, 2]], ["drop_oldest", [0, 3, 4]]]) {
    let answer;
    const { fetch, requests } = scripted((request) => new Promise((resolve) => (answer = () => resolve(taken(request)))), taken);
    const { analytics, outcomes } = start(t, fetch, { maxQueueEvents: 3, maxBatchEvents: 1, onFull });
    assert.equal(analytics.track(view(0)), true);
    while (requests.length === 0) await new Promise(setImmediate);
    const tookAll = [1, 2, 3, 4].map((n) => analytics.track(view(n)));
    assert.deepEqual(tookAll, onFull === "drop_oldest" ? [true, true, true, true] : [true, true, false, false]);
    answer(); // to what was under way all the time, and so isn't dropped
    await analytics.flush();
    assert.deepEqual(requests.map(numbers), kept.map((n) => [n]));
    assert.deepEqual(outcomes.filter(({ status }) => status === "dropped").map(({ reason }) => reason), ["queue_full", "queue_full"]);
    assert.equal(analytics.stats().dropped, 2);
  }
});

test("a flush that is over says how many are left, and a Retry-After is heeded but for a close", async (t) => {
  const { fetch, requests } = scripted(problem(429, "rate_limited", { "Retry-After": "100" }), taken);
  const { analytics } = start(t, fetch);
  analytics.track(view(0));
  analytics.track(view(1));
  assert.deepEqual(await analytics.flush(30), { ok: false, left: 2 });
  assert.equal(requests.length, 1);
  assert.deepEqual(await analytics.close(), { ok: true, left: 0 });
  assert.equal(requests.length, 2);
});

test("a close drops what it can't deliver in time, and says so; later events are dropped", async (t) => {
  const { fetch } = scripted(never);
  const { analytics, outcomes } = start(t, fetch, { maxBatchEvents: 2 });
  for (let n = 0; n < 3; n++) analytics.track(view(n));
  const closing = analytics.close(20);
  assert.equal(analytics.track(view(3)), false);
  assert.deepEqual(await closing, { ok: false, left: 3 });
  assert.deepEqual(await analytics.close(), { ok: false, left: 3 }, "again");
  assert.deepEqual(outcomes.map(({ status, reason, event }) => [status, reason, event.payload.n]), [3, 0, 1, 2].map((n) => ["dropped", "closed", n]));
  assert.deepEqual(analytics.stats(), { queued: 0, accepted: 0, duplicate: 0, rejected: 0, dropped: 4, failed: 0, retries: 0, requests: 1 });
});

test("what is left stays in the storage, and the next client sends it as it was", async (t) => {
  const storage = new MemoryStorage();
  const first = start(t, scripted(never).fetch, { storage });
  first.analytics.track(view(0));
  first.analytics.track(view(1));
  const kept = new Map(storage.events);
  assert.deepEqual(await first.analytics.close(10), { ok: false, left: 2 });
  assert.deepEqual(first.outcomes, []);
  assert.deepEqual(await first.analytics.flush(), { ok: false, left: 2 }, "a flush of a closed client doesn't wait");
  assert.deepEqual(storage.events, kept);

  storage.events.set("x", "{torn");
  const { fetch, requests } = scripted();
  const second = start(t, fetch, { storage });
  second.analytics.track(view(2));
  assert.deepEqual(await second.analytics.flush(), { ok: true, left: 0 });
  assert.deepEqual(requests[0].lines.slice(0, 2), [...kept.values()]);
  assert.deepEqual(numbers(requests[0]), [0, 1, 2]);
  assert.equal(storage.events.size, 0);
  assert.match(second.log[0], /not an event/);
});

test("a storage that never opens holds up nobody", async (t) => {
  const { fetch } = scripted();
  const stuck = { open: () => new Promise(() => {}), add() {}, remove() {}, close() {} };
  const { analytics } = start(t, fetch, { storage: stuck });
  analytics.track(view(0));
  assert.deepEqual(await analytics.flush(100), { ok: true, left: 0 });
  assert.deepEqual(await analytics.close(10), { ok: true, left: 0 });
  assert.deepEqual(await analytics.flush(), { ok: true, left: 0 }, "after the close");
});

test("a storage that fails costs durability, not events", async (t) => {
  const full = { open: async () => { throw new Error("denied"); }, add: () => { throw new Error("no room"); }, remove: () => { throw new Error("no way"); }, close() {} };
  const { fetch } = scripted();
  const { analytics, log } = start(t, fetch, { storage: full });
  assert.equal(analytics.track(view(0)), true);
  assert.equal(analytics.track(view(1)), true);
  assert.deepEqual(await analytics.flush(), { ok: true, left: 0 });
  assert.deepEqual(log.map((line) => line.replace(/.*: /, "")), ["no room", "denied", "no way"]);
});
