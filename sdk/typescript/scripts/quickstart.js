// Does what GETTING_STARTED.md says, on free ports, and compares what it prints: its shell commands, its programs, and its page in Chromium.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

import { startServer } from "../../../test/browser/server.js";
import { launchBrowser } from "../test/browser.js";

const repository = fileURLToPath(new URL("../../../", import.meta.url));
const page = readFileSync(new URL("../GETTING_STARTED.md", import.meta.url), "utf8");
const blocks = Array.from(page.matchAll(/^```(\w+)(?: (\S+))?\n(.*?)^```$/gms), ([, language, name, text]) => ({ language, name, text }));

const app = mkdtempSync(join(tmpdir(), "analytics-quickstart-"));
const ends = [() => rmSync(app, { recursive: true, force: true })];
try {
  const site = await serve(app);
  ends.push(site.stop);
  let server;
  const here = (text) => text.replaceAll("http://localhost:8000", server.url).replaceAll("http://localhost:5173", site.origin);
  const run = (command, cwd) =>
    execFileSync("bash", ["-euc", command], { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, REPOSITORY: repository } });
  let printed = "";
  for (const { language, name, text } of blocks) {
    switch (`${language} ${name ?? ""}`.trim()) {
      case "sh server": {
        const [, origins] = /^CORS_ORIGINS=(\S+) go run \.\/cmd\/analytics\n$/.exec(text);
        server = await startServer({ CORS_ORIGINS: origins.replace("http://localhost:5173", site.origin) });
        ends.push(server.stop);
        break;
      }
      case "sh":
        run(text, repository);
        break;
      case "sh app":
        printed = run(text, app);
        break;
      case "sh site":
        assert.equal(text, "python3 -m http.server 5173\n");
        await press(site.origin);
        break;
      case "text output":
        assert.equal(printed, text);
        process.stdout.write(printed);
        break;
      default:
        assert.ok(["js", "html"].includes(language) && name, `GETTING_STARTED.md has a block of ${language} without a name`);
        writeFileSync(join(app, name), here(text));
    }
  }
  console.log("quickstart: everything that GETTING_STARTED.md says is so");
} finally {
  for (const end of ends.reverse()) await end();
}

// press opens the page, presses its button and waits for what the page promises.
async function press(origin) {
  const promised = /the page says `([^`]+)`/.exec(page)[1];
  const browser = await launchBrowser();
  try {
    const tab = await browser.newPage();
    await tab.goto(origin);
    await tab.locator("button").click();
    await tab.waitForFunction((text) => document.querySelector("output").textContent === text, promised);
    console.log(`the page says ${promised}`);
  } finally {
    await browser.close();
  }
}

// serve serves a folder as python3 -m http.server does, on a free port.
async function serve(folder) {
  const types = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript" };
  const server = createServer((request, response) => {
    const path = normalize(request.url === "/" ? "/index.html" : request.url);
    try {
      const content = readFileSync(join(folder, path));
      response.writeHead(200, { "Content-Type": types[extname(path)] ?? "application/octet-stream" }).end(content);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, "localhost", resolve));
  const stop = () => new Promise((resolve) => { server.close(resolve); server.closeAllConnections(); });
  return { origin: `http://localhost:${server.address().port}`, stop };
}
