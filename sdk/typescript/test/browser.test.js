// A page of another origin, in a real Chromium, sends events to a real server: through a loss of the network, reloads, and its own end.
//
//	CHROMIUM  the browser's program; without it /usr/bin/chromium
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { startServer } from "../../../test/browser/server.js";
import { eventually, importMap, launchBrowser, serveSite, storedEvents } from "./browser.js";

const out = fileURLToPath(new URL("../.out/", import.meta.url));
const html = readFileSync(new URL("page.html", import.meta.url), "utf8").replace("IMPORT_MAP", JSON.stringify(importMap));

test("a page of another origin", async (t) => {
  mkdirSync(out, { recursive: true });
  const site = await serveSite(html);
  t.after(() => site.stop());
  const server = await startServer({ CORS_ORIGINS: site.origin });
  t.after(() => server.stop());
  const browser = await launchBrowser();
  t.after(() => browser.close());

  let next = 0; // the number of the next event; each is tracked once
  const numbers = (count) => ((next += count), next - count);

  // visit opens the page in a window of its own or of a visitor.
  async function visit(t, parameters, context) {
    if (context === undefined) {
      context = await browser.newContext({ viewport: { width: 800, height: 520 } });
      t.after(() => context.close());
    }
    const page = await context.newPage();
    const exceptions = [];
    page.on("pageerror", (error) => exceptions.push(String(error)));
    t.after(() => assert.deepEqual(exceptions, []));
    await page.goto(`${site.origin}/?${new URLSearchParams({ url: server.url, ...parameters })}`);
    await page.waitForFunction(() => window.ready);
    return { page, context };
  }
  const track = (page, count, pad = 0) => page.evaluate(([first, count, pad]) => track(first, count, pad), [numbers(count), count, pad]);
  const settled = (page, count) => page.waitForFunction((count) => window.outcomes.length >= count, count);
  // kept reads what is in both storages.
  const kept = (page) =>
    page.evaluate(async () => {
      const local = Object.entries(localStorage).filter(([name]) => name.startsWith("analytics:event:")).map(([, json]) => JSON.parse(json));
      const done = (request) => new Promise((resolve, reject) => Object.assign(request, { onsuccess: () => resolve(request.result), onerror: () => reject(request.error) }));
      const database = await done(indexedDB.open("analytics"));
      const indexed = database.objectStoreNames.contains("events") ? await done(database.transaction("events").objectStore("events").getAll()) : [];
      database.close();
      return [...local, ...indexed.map(({ json }) => JSON.parse(json))];
    });

  // allThere waits for the server to have the events up to now, each once.
  async function allThere() {
    const rows = await eventually(async () => {
      const rows = await storedEvents(server.url);
      assert.equal(rows.length, next);
      return rows;
    });
    assert.deepEqual(rows.map((row) => row.payload.n).sort((a, b) => a - b), Array.from({ length: next }, (_, n) => n));
    for (const { user_id, event_type } of rows) assert.deepEqual({ user_id, event_type }, { user_id: 42, event_type: "page.view" });
    return new Map(rows.map((row) => [row.payload.n, row]));
  }

  await t.test("delivers in batches, compressed", async (t) => {
    const { page } = await visit(t);
    const [request] = await Promise.all([page.waitForRequest((request) => request.url() === `${server.url}/events`), track(page, 50)]);
    assert.equal(await request.headerValue("content-encoding"), "gzip");
    assert.equal(await request.headerValue("cookie"), null);
    await settled(page, 50);
    const rows = await allThere();
    for (const { status, id, n } of await page.evaluate(() => outcomes)) {
      assert.equal(status, "accepted");
      assert.equal(rows.get(n).event_id, id);
    }
    assert.deepEqual(await page.evaluate(() => analytics.questions.stats("page.view")), { event_type: "page.view", count: 50 });
  });

  await t.test("loses nothing while the network is away, and is quick when it is back", async (t) => {
    // The pause after a failure would be too long for this test; the network's return ends it.
    const { page, context } = await visit(t, { backoff: 3_600_000 });
    await context.setOffline(true);
    await track(page, 20);
    await page.waitForFunction(() => analytics.stats().requests >= 8); // the pauses have grown
    assert.equal(await page.evaluate(() => analytics.stats().queued), 20);
    await page.screenshot({ path: `${out}offline.png` });
    await context.setOffline(false);
    await settled(page, 20);
    await page.screenshot({ path: `${out}online.png` });
    assert.deepEqual(await page.evaluate(() => [...new Set(outcomes.map(({ status }) => status))]), ["accepted"]);
    await allThere();
  });

  for (const storage of ["local", "indexed"]) await t.test(`keeps events over its end without a network, with their ids: ${storage}`, async (t) => {
    const { page, context } = await visit(t, { storage });
    await context.setOffline(true);
    await track(page, 10);
    await page.waitForFunction(() => analytics.stats().requests >= 2);
    const events = await kept(page);
    assert.equal(events.length, 10);
    await page.close();
    await context.setOffline(false);

    const { page: later } = await visit(t, { storage }, context);
    await settled(later, 10);
    const rows = await allThere();
    for (const event of events) assert.equal(rows.get(event.payload.n).event_id, event.event_id);
    assert.deepEqual(await later.evaluate(() => outcomes.map(({ id }) => id)), events.map(({ event_id }) => event_id).sort());
    await eventually(async () => assert.deepEqual(await kept(later), []));
  });

  await t.test("sends what waits when it is reloaded, and once more what it can't know of", async (t) => {
    const { page } = await visit(t, { storage: "local", interval: 3_600_000 });
    await track(page, 10);
    const events = await kept(page);
    assert.equal(events.length, 10);
    await page.reload();
    await settled(page, 10);
    const rows = await allThere();
    for (const event of events) assert.equal(rows.get(event.payload.n).event_id, event.event_id);
    assert.deepEqual(await kept(page), []);
  });

  await t.test("leaves alone what another page of the site has", async (t) => {
    const { page, context } = await visit(t, { storage: "local", interval: 3_600_000 });
    await track(page, 5);
    const { page: other } = await visit(t, { storage: "local" }, context);
    await track(other, 1);
    await settled(other, 1);
    assert.deepEqual(await other.evaluate(() => outcomes.length), 1);
    assert.equal((await kept(other)).length, 5);
    await page.bringToFront();
    assert.deepEqual(await page.evaluate(() => analytics.flush(10_000)), { ok: true, left: 0 });
    await allThere();
  });

  for (const [how, leave] of Object.entries({
    "left for another": (page) => page.goto("about:blank"),
    closed: (page) => page.close(),
  })) {
    await t.test(`delivers what waits when it is ${how}, without a storage`, async (t) => {
      const { page } = await visit(t, { interval: 3_600_000 });
      await track(page, 100);
      await leave(page);
      await allThere();
    });
  }

  await t.test("goes on after it was hidden", async (t) => {
    const { page } = await visit(t, { interval: 3_600_000 });
    await track(page, 10);
    // Headless pages are always shown: this is what they'd be told.
    await page.evaluate(() => {
      Object.defineProperty(document, "visibilityState", { configurable: true, get: () => "hidden" });
      document.dispatchEvent(new Event("visibilitychange"));
    });
    await settled(page, 10);
    await track(page, 10);
    assert.deepEqual(await page.evaluate(() => analytics.flush(10_000)), { ok: true, left: 0 });
    assert.equal(await page.evaluate(() => analytics.stats().accepted), 20);
    await allThere();
  });

  await t.test("hands the browser no more than it takes, and the rest follows", async (t) => {
    const { page, context } = await visit(t, { storage: "local", interval: 3_600_000 });
    await track(page, 200, 1000);
    await page.goto("about:blank");
    const there = await eventually(async () => {
      const rows = await storedEvents(server.url);
      assert.ok(rows.length > next - 200, `${rows.length} of ${next}`);
      return rows.length - (next - 200);
    });
    assert.ok(there < 70, `${there} events of over 1,000 bytes are in 64 KiB`);
    const { page: later } = await visit(t, { storage: "local" }, context);
    const [size, ...more] = (await later.evaluate(() => localStorage.getItem("bodies"))).trim().split(" ").map(Number);
    assert.ok(size > 60_000 && size <= 65_536, `handed over ${size} bytes`);
    assert.ok(more.every((size) => size <= 32_768), `ordinary requests that may outlive the page: ${more}`);
    await settled(later, 200);
    await allThere();
    await later.screenshot({ path: `${out}page.png` });
  });

  await t.test("is stopped by the browser where the operator doesn't list its origin", async (t) => {
    const elsewhere = await serveSite(html);
    t.after(() => elsewhere.stop());
    const page = await browser.newPage();
    t.after(() => page.close());
    await page.goto(`${elsewhere.origin}/?${new URLSearchParams({ url: server.url })}`);
    await page.waitForFunction(() => window.ready);
    await page.evaluate(() => track(-1, 1));
    await page.waitForFunction(() => analytics.stats().retries >= 2);
    assert.deepEqual(await page.evaluate(() => analytics.close(1)), { ok: false, left: 1 });
    await allThere();
  });
});
