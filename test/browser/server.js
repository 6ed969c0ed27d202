// Starts the product on a free port and an empty directory, and leaves nothing behind. The
// SDK for TypeScript starts it in this way too.
//
//	ANALYTICS_BIN  the product's program; without it bin/analytics, which `make build` makes
import { spawn } from "node:child_process";
import { accessSync, constants, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const program = process.env.ANALYTICS_BIN || fileURLToPath(new URL("../../bin/analytics", import.meta.url));

// These bound what hangs.
const startMs = 90_000;
const stopMs = 60_000;

// startServer starts the product with settings, { RATE_LIMIT: "0" }, and resolves when it is
// ready, to its URL and to a function that stops it. It rejects with what the product printed.
export async function startServer(settings = {}) {
  try {
    accessSync(program, constants.X_OK);
  } catch {
    throw new Error(`there is no ${program}: run 'make build', or name another program in ANALYTICS_BIN`);
  }
  const data = mkdtempSync(join(tmpdir(), "analytics-server-"));
  const server = spawn(program, {
    // The system chooses the port when the product listens; nothing can take it before. No
    // setting of the person at the keyboard reaches the product.
    env: { PATH: process.env.PATH, TMPDIR: tmpdir(), ADDR: "127.0.0.1:0", DATA_DIR: data, LOG_LEVEL: "WARN", ...settings },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  let ended = false;
  for (const stream of [server.stdout, server.stderr]) {
    stream.setEncoding("utf8").on("data", (text) => (output += text));
  }
  server.on("error", (error) => (output += `${error.message}\n`));
  const closed = new Promise((resolve) => {
    server.once("close", () => {
      ended = true;
      resolve();
    });
  });
  const removeData = () => rmSync(data, { recursive: true, force: true, maxRetries: 5 });

  // When the test is interrupted, the server ends and its files go.
  const atExit = () => {
    server.kill("SIGKILL");
    removeData();
  };
  const atSignal = (_, number) => process.exit(128 + number);
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
  process.once("exit", atExit);
  for (const signal of signals) process.once(signal, atSignal);

  const stop = async () => {
    let killed = false;
    server.kill("SIGINT"); // unlike SIGTERM it doesn't wait for load balancers
    const timer = setTimeout(() => {
      killed = true;
      server.kill("SIGKILL");
    }, stopMs);
    await closed;
    clearTimeout(timer);
    process.removeListener("exit", atExit);
    for (const signal of signals) process.removeListener(signal, atSignal);
    removeData();
    if (killed) throw new Error(`the server did not stop within ${stopMs} ms of SIGINT:\n${output}`);
    if (server.exitCode !== 0) throw new Error(`the server exited with ${server.exitCode}:\n${output}`);
  };

  for (const end = Date.now() + startMs; !ended && Date.now() < end; ) {
    // The part after the last line break may be half a line.
    const url = /^ *API +(http:\S+)\n/m.exec(output)?.[1];
    if (url !== undefined && (await isReady(url))) return { url, stop };
    await Promise.race([delay(10), closed]);
  }
  const why = ended ? "the server ended before it was ready" : `the server is not ready after ${startMs} ms`;
  throw new Error(`${why}:\n${await stop().then(() => output, (error) => error.message)}`);
}

async function isReady(url) {
  try {
    const response = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(10_000) });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false; // not listening, or too busy to answer: the next try tells
  }
}
