// Asks a real server everything that can be asked.
import assert from "node:assert/strict";
import { test } from "node:test";

import { startServer } from "../../../test/browser/server.js";
import { Analytics, ProblemError } from "../dist/index.js";

test("questions", async (t) => {
  const server = await startServer();
  t.after(() => server.stop());
  const sent = [];
  const analytics = new Analytics({ url: server.url, fetch: (input, init) => (sent.push(input.url ?? input), fetch(input, init)) });
  t.after(() => analytics.close());
  const { questions } = analytics;
  const from = 1690000000;
  for (let n = 0; n < 300; n++) {
    analytics.track({ user_id: 1 + (n % 3), event_type: n % 2 ? "cart" : "view", timestamp: from + n, payload: { price: n / 2, plan: n % 5 ? "pro" : "free" } });
  }
  analytics.track({ user_id: 2n ** 63n - 1n, event_type: "huge", timestamp: from });
  assert.deepEqual(await analytics.close(), { ok: true, left: 0 });
  assert.equal(analytics.stats().accepted, 301);
  const range = { from, to: from + 3600 };

  await t.test("have typed answers", async () => {
    assert.deepEqual(await questions.stats("view"), { event_type: "view", count: 150 });
    assert.deepEqual(await questions.stats("view", { from, to: from + 10 }), { event_type: "view", count: 5 });
    assert.deepEqual((await questions.eventTypes({ limit: 2 })).event_types.map(({ count }) => count), [150, 150]);
    const series = await questions.series("view", { interval: "hour", ...range });
    assert.equal(series.points.reduce((sum, { count }) => sum + count, 0), 150);
    const { groups } = await questions.query({ metric: "count", group_by: ["payload.plan"], event_types: ["view", "cart"], ...range });
    assert.deepEqual(groups.map(({ key: [plan], value }) => [plan, value]), [["pro", 240], ["free", 60]]);
    const funnel = await questions.funnel({ steps: [{ event_type: "view" }, { event_type: "cart" }], window: 60, ...range });
    assert.deepEqual(funnel.steps.map(({ users }) => users), [3, 3]);
    const retention = await questions.retention({ first: { event_type: "view" }, returning: { event_type: "cart" }, interval: "day", ...range });
    assert.equal(retention.cohorts[0].users, 3);
    const page = await questions.events({ limit: 10, event_type: "view" });
    assert.equal(page.events.length, 10);
    assert.equal((await questions.events({ limit: 10, event_type: "view", cursor: page.next_cursor })).events[0].timestamp, page.events[9].timestamp - 2);
    assert.equal((await questions.userEvents(2, { limit: 1000 })).events.length, 100);
    assert.equal((await questions.userEvents(2n ** 63n - 1n)).events.length, 1);
    assert.equal((await questions.limits()).max_batch_events, 5000);
  });

  await t.test("are refused with every reason", async () => {
    await assert.rejects(questions.query({ metric: "sum", from: 2, to: 1 }), (error) => {
      assert.ok(error instanceof ProblemError);
      assert.equal(error.status, 422);
      assert.equal(error.code, "validation_failed");
      assert.equal(error.problem.errors.length, 2);
      assert.match(error.message, /^The request breaks the contract: \/\w+ .*, \/\w+ /);
      return true;
    });
    await assert.rejects(questions.series("view", { tz: "Mars/Olympus" }), /unknown|is not the name of a time zone/);
    await assert.rejects(questions.stats("view", {}, { signal: AbortSignal.abort() }), { name: "AbortError" });
    await assert.rejects(async () => { for await (const _ of questions.export({ event_type: "not a type" }));}, { code: "validation_failed" });
  });

  await t.test("are answered by something else on the way", async (t) => {
    const other = new Analytics({ url: "http://service.test", fetch: async () => new Response("<h1>Bad gateway</h1>", { status: 502, headers: { "Retry-After": "3" } }) });
    t.after(() => other.close());
    await assert.rejects(other.questions.stats("view"), { name: "ProblemError", status: 502, code: "http_502", message: "the answer was 502", retryAfterMs: 3000 });
  });

  await t.test("export streams every event, and goes on after a cut", async (t) => {
    const all = await collect(questions.export());
    assert.equal(all.length, 301);
    let cuts = 0;
    // Every answer but the last is cut, somewhere in a line.
    const cutting = async (request) => {
      const response = await fetch(request);
      const text = await response.text();
      const cut = text.slice(0, 12_345);
      if (cut === text) return new Response(text);
      cuts++;
      return new Response(new ReadableStream({
        start: (controller) => controller.enqueue(new TextEncoder().encode(cut)),
        pull: (controller) => controller.error(new TypeError("terminated")),
      }, { highWaterMark: 0 }));
    };
    const flaky = new Analytics({ url: server.url, fetch: cutting });
    t.after(() => flaky.close());
    assert.deepEqual(await collect(flaky.questions.export()), all);
    assert.ok(cuts >= 2, `${cuts} cuts`);

    const dead = new Analytics({ url: server.url, fetch: async () => new Response(new ReadableStream({ pull: (controller) => controller.error(new TypeError("terminated")) })) });
    t.after(() => dead.close());
    await assert.rejects(collect(dead.questions.export()), /terminated/);

    const some = [];
    for await (const event of questions.export({ event_type: "cart" })) if (some.push(event) === 3) break;
    assert.deepEqual(some, all.filter(({ event_type }) => event_type === "cart").slice(0, 3));
  });

  assert.ok(sent.every((url) => url.startsWith(server.url)));
});

async function collect(events) {
  const all = [];
  for await (const event of events) all.push(event);
  return all;
}
