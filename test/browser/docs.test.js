// Opens /docs in a real Chromium, as a developer would: reads the operations,
// sends an event from the page and asks for its count.
//
//	BASE_URL  the server to test; without it the test starts one
//	CHROMIUM  the browser's program; without it /usr/bin/chromium
import assert from "node:assert/strict";
import { accessSync, constants } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { chromium } from "playwright-core";

import { startServer } from "./server.js";
import { settle, watchPage } from "./watch.js";

const screenshot = fileURLToPath(new URL(".out/docs.png", import.meta.url));
const uuid = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}";

test("the documentation page", async (t) => {
  const browser = await launchBrowser();
  t.after(() => browser.close());
  let base = process.env.BASE_URL?.replace(/\/+$/, "");
  if (!base) {
    const server = await startServer();
    t.after(() => server.stop());
    base = server.url;
  }

  // open opens the documentation with a watch on it.
  async function open(t) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 1024 } });
    t.after(() => context.close());
    const page = await context.newPage();
    const complaints = await watchPage(page, base);
    const response = await page.goto(`${base}/docs`);
    assert.equal(response.status(), 200);
    await page.locator(".opblock").first().waitFor();
    return { page, complaints, response };
  }

  await t.test("sends an event and counts it, and nothing is wrong on the way", async (t) => {
    const { page, complaints } = await open(t);
    try {
      assert.equal(await page.title(), "High-Load Analytics API");
      const shown = await shownOperations(page);
      assert.ok(shown.includes("POST /event"), shown.join(", "));
      assert.ok(shown.includes("GET /stats/{event_type}"), shown.join(", "));
      assert.deepEqual(shown.toSorted(), (await contractOperations(base)).toSorted());

      const send = await openOperation(page, "POST", "/event");
      await send.locator(".examples-select select").selectOption({ index: 0 });
      assert.deepEqual(JSON.parse(await send.locator("textarea").inputValue()), {
        user_id: 42,
        event_type: "login",
        timestamp: 1690000000,
      });
      const receipt = await execute(send);
      assert.equal(receipt.status, "202");
      assert.deepEqual(receipt.body, { status: "received" });
      assert.match(receipt.headers, new RegExp(`^event-id: ${uuid}$`, "m"));
      assert.match(receipt.headers, /^event-status: accepted$/m);

      const count = await openOperation(page, "GET", "/stats/{event_type}");
      await count.locator("tr[data-param-name=event_type] input").fill("login");
      const stats = await execute(count);
      assert.equal(stats.status, "200");
      assert.equal(stats.body.event_type, "login");
      assert.ok(stats.body.count >= 1, `count is ${stats.body.count}`);
    } finally {
      await page.screenshot({ path: screenshot, fullPage: true });
    }

    // Every other part of the page is drawn too before the watch has its say.
    await page
      .locator(".opblock:not(.is-open) .opblock-summary-control")
      .evaluateAll((folded) => folded.forEach((button) => button.click()));
    await page.waitForFunction(() => document.querySelector(".opblock:not(.is-open)") === null);
    await settle(page);
    assert.deepEqual(complaints, []);
  });

  await t.test("is under a policy that takes scripts and everything else from the server alone", async (t) => {
    const { response } = await open(t);
    const policy = response.headers()["content-security-policy"] ?? "";
    const directives = new Map(
      policy.split(";").map((directive) => {
        const [name, ...sources] = directive.trim().split(/\s+/);
        return [name, sources];
      }),
    );
    assert.deepEqual(directives.get("default-src"), ["'self'"], policy);
    // 'unsafe-inline' and 'unsafe-eval', for scripts or for anything else.
    assert.doesNotMatch(policy, /unsafe-/);
  });

  // The first test says that nothing was seen; this one, that it would have been.
  await t.test("is watched by something that sees", async (t) => {
    const { page, complaints } = await open(t);
    await settle(page);
    assert.deepEqual(complaints, []);
    await page.evaluate(async () => {
      const script = document.createElement("script");
      script.textContent = "window.inlineScriptRan = true";
      const style = document.createElement("style");
      style.textContent = "body { color: red }";
      const image = document.createElement("img");
      image.src = "http://elsewhere.invalid/pixel.png";
      document.body.append(script, style, image);
      setTimeout(() => {
        throw new Error("thrown on purpose");
      });
      console.warn("warned on purpose");
      await fetch("docs/no-such-file");
    });
    await settle(page);
    for (const expected of [
      /^policy script-src-elem stopped inline/,
      /^policy style-src-elem stopped inline/,
      /^policy img-src stopped http:\/\/elsewhere\.invalid/,
      /^origin http:\/\/elsewhere\.invalid/,
      /^failed GET http:\/\/elsewhere\.invalid/,
      /^exception .*thrown on purpose/,
      /^console warning: warned on purpose/,
      /^console error: .*404/,
    ]) {
      assert.ok(complaints.some((complaint) => expected.test(complaint)), `${expected} in\n${complaints.join("\n")}`);
    }
    assert.equal(await page.evaluate(() => window.inlineScriptRan), undefined);
  });
});

function launchBrowser() {
  const executablePath = process.env.CHROMIUM || "/usr/bin/chromium";
  try {
    accessSync(executablePath, constants.X_OK);
  } catch {
    throw new Error(
      `there is no Chromium at ${executablePath}: install it with 'scripts/test-deps.sh chromium', ` +
        "or name another one in CHROMIUM",
    );
  }
  return chromium.launch({
    executablePath,
    args: [
      "--headless",
      "--no-sandbox", // in CI the browser runs as root, and loads nothing but our page
      "--disable-gpu",
      "--no-first-run",
      // Chromium's own traffic would need a network that CI may not have.
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

// shownOperations lists the page's operations, "POST /event" and so on.
function shownOperations(page) {
  return page.locator(".opblock-summary").evaluateAll((summaries) =>
    summaries.map((summary) => {
      const method = summary.querySelector(".opblock-summary-method").textContent;
      return `${method} ${summary.querySelector("[data-path]").dataset.path}`;
    }),
  );
}

// contractOperations lists those of the contract that the server serves.
async function contractOperations(base) {
  const contract = await (await fetch(`${base}/openapi.json`)).json();
  const methods = ["get", "head", "post", "put", "patch", "delete", "options"];
  return Object.entries(contract.paths).flatMap(([path, item]) =>
    methods.filter((method) => method in item).map((method) => `${method.toUpperCase()} ${path}`),
  );
}

// openOperation unfolds an operation and returns it. The page is set to have
// "Try it out" on, so that an operation can be executed at once.
async function openOperation(page, method, path) {
  const operation = page.locator(`.opblock-${method.toLowerCase()}`, {
    has: page.locator(`[data-path="${path}"]`),
  });
  await operation.locator(".opblock-summary-control").click();
  await operation.locator("button.execute").waitFor();
  return operation;
}

// execute presses Execute and reads what the page shows of the answer.
async function execute(operation) {
  await operation.locator("button.execute").click();
  const answer = operation.locator(".live-responses-table tbody tr.response");
  await answer.waitFor();
  const [body, headers] = [answer.locator(".highlight-code pre"), answer.locator("pre:has(.headerline)")];
  return {
    status: (await answer.locator(".response-col_status").innerText()).trim(),
    body: JSON.parse(await body.innerText()),
    headers: (await headers.locator(".headerline").allInnerTexts()).map((line) => line.trim()).join("\n"),
  };
}
