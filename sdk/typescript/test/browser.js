// What tests in a browser need: Chromium, and a site whose pages may import the package.
import { accessSync, constants, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";

import { chromium } from "playwright-core";

const folder = fileURLToPath(new URL("..", import.meta.url));

// launchBrowser starts Chromium as the tests of the documentation page do, see test/browser.
export function launchBrowser() {
  const executablePath = process.env.CHROMIUM || "/usr/bin/chromium";
  try {
    accessSync(executablePath, constants.X_OK);
  } catch {
    throw new Error(`there is no Chromium at ${executablePath}: install it with 'scripts/test-deps.sh chromium', or name another one in CHROMIUM`);
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

// importMap is what a page without a bundler needs to import the package.
export const importMap = {
  imports: {
    "highload-analytics": "/dist/index.js",
    "openapi-fetch": "/node_modules/openapi-fetch/dist/index.mjs",
  },
};

// serveSite serves the page at / and the package's files, on a free port, and so as an origin of its own.
export async function serveSite(page) {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, "http://site");
    if (pathname === "/") {
      response.setHeader("Content-Type", "text/html; charset=utf-8").end(page);
    } else if (/^\/(dist|node_modules\/openapi-fetch\/dist)\/[\w.]+\.m?js$/.test(pathname)) {
      response.setHeader("Content-Type", "text/javascript").end(readFileSync(folder + pathname));
    } else {
      response.writeHead(204).end(); // the icon that browsers ask for
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    stop: () =>
      new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      }),
  };
}

// storedEvents reads what the server has, without the SDK.
export async function storedEvents(url) {
  const response = await fetch(`${url}/events/export`);
  const text = await response.text();
  return text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
}

// eventually tries again until the check passes, for at most so long.
export async function eventually(check, withinMs = 20_000) {
  for (const end = Date.now() + withinMs; ; await new Promise((resolve) => setTimeout(resolve, 50))) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > end) throw error;
    }
  }
}
