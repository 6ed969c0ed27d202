// Starts the product as a newcomer does, on a free port and an empty directory,
// and leaves nothing behind.
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));

// The first build on a new machine fetches modules and compiles SQLite.
const tries = 3000;
const pauseMs = 100;
const killAfterMs = 30_000;

// startServer resolves when the server is ready, to its URL and to a function
// that stops it. It rejects with what the server printed.
export async function startServer() {
  const work = mkdtempSync(join(tmpdir(), "analytics-docs-"));
  const goTemp = join(work, "go");
  mkdirSync(goTemp);

  // What would turn the embedded deployment with its default limit into another.
  const { PG_URL, REDIS_URL, RATE_LIMIT, ...environment } = process.env;
  const go = spawn("go", ["run", "./cmd/analytics"], {
    cwd: root,
    env: {
      ...environment,
      // The system picks the port at the moment of listening, so that nobody
      // can take it before; the log says which one it is.
      ADDR: "127.0.0.1:0",
      LOG_LEVEL: "INFO",
      LOG_FORMAT: "json",
      DATA_DIR: join(work, "data"),
      // A go command that is stopped by a signal leaves its build directory.
      GOTMPDIR: goTemp,
    },
    // The server is a child of the go command, which doesn't pass SIGTERM on: both
    // are in a process group of their own, and the group gets the signal.
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });

  let output = "";
  let ended = false;
  for (const stream of [go.stdout, go.stderr]) {
    stream.setEncoding("utf8").on("data", (text) => (output += text));
  }
  go.on("error", (error) => (output += `${error.message}\n`));
  // The server holds the go command's output, so this waits for both to end.
  const closed = new Promise((resolve) => {
    go.once("close", () => {
      ended = true;
      resolve();
    });
  });

  const signalGroup = (signal) => {
    if (ended || go.pid === undefined) return;
    try {
      process.kill(-go.pid, signal);
    } catch (error) {
      if (error.code !== "ESRCH") throw error;
    }
  };
  const removeWork = () => rmSync(work, { recursive: true, force: true, maxRetries: 5 });

  // For whoever interrupts the test: without these the process would end at once
  // and the server, in its own group, would never hear of it.
  const atExit = () => {
    signalGroup("SIGKILL");
    removeWork();
  };
  const atSignal = (_, number) => process.exit(128 + number);
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
  process.once("exit", atExit);
  for (const signal of signals) process.once(signal, atSignal);

  const stop = async () => {
    let killed = false;
    signalGroup("SIGTERM");
    const timer = setTimeout(() => {
      killed = true;
      signalGroup("SIGKILL");
    }, killAfterMs);
    await closed;
    clearTimeout(timer);
    process.removeListener("exit", atExit);
    for (const signal of signals) process.removeListener(signal, atSignal);
    removeWork();
    if (killed) throw new Error(`the server did not stop within ${killAfterMs} ms of SIGTERM:\n${output}`);
  };

  for (let i = 0; i < tries && !ended; i++) {
    const url = servingURL(output);
    if (url !== undefined && (await isReady(url))) return { url, stop };
    await Promise.race([delay(pauseMs), closed]);
  }
  const why = ended ? "the server ended before it was ready" : "the server is not ready yet";
  await stop();
  throw new Error(`${why}:\n${output}`);
}

// servingURL finds the URL in the log line that announces it.
function servingURL(output) {
  // The part after the last line break may be half a line.
  for (const line of output.split("\n").slice(0, -1)) {
    if (!line.startsWith("{")) continue;
    const entry = JSON.parse(line);
    if (entry.msg === "serving") return entry.url;
  }
  return undefined;
}

async function isReady(url) {
  try {
    const response = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(2000) });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false; // not listening, or too busy to answer: the next try tells
  }
}
