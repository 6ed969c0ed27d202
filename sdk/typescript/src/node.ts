/**
 * What only Node has: {@link FileStorage}, a queue on disk.
 *
 * @packageDocumentation
 */
import { closeSync, existsSync, ftruncateSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, unlinkSync, writeSync } from "node:fs";
import { join, resolve } from "node:path";

import type { EventStorage, StoredEvent } from "./storage.js";

/** The file is written anew when so many bytes of it are of delivered events. */
const rewriteFromBytes = 4 * 1024 * 1024;

/** Directories that this process has open: a lock file can't tell a process from itself. */
const openHere = new Set<string>();

/**
 * Keeps events in a directory, so that they survive the end of the process, `kill -9` included. An event is in the operating system's
 * hands when `track` returns; it isn't forced to the disk, so that a crash of the whole machine may take the last ones.
 *
 * The directory belongs to one process at a time. In it, `queue.ndjson` has a line for each event and for each that was delivered, and
 * `queue.lock` says who has it.
 */
export class FileStorage implements EventStorage {
  readonly #directory: string;
  readonly #path: string;
  readonly #lock: string;
  #file: number | undefined;
  readonly #kept = new Map<string, string>(); // JSON by id
  #bytes = 0; // of the file
  #keptBytes = 0; // of the lines of #kept

  /** Takes the directory, which is made if missing. Nothing is opened yet. */
  constructor(directory: string) {
    this.#directory = resolve(directory);
    this.#path = join(this.#directory, "queue.ndjson");
    this.#lock = join(this.#directory, "queue.lock");
  }

  /** Implements {@link EventStorage}. Throws when another client has the directory, or it can't be written to. */
  open(warn: (message: string) => void): StoredEvent[] {
    mkdirSync(this.#directory, { recursive: true });
    this.#takeLock();
    try {
      this.#read(warn);
      this.#rewrite();
    } catch (error) {
      this.#releaseLock();
      throw error;
    }
    return Array.from(this.#kept, ([id, json]) => ({ id, json }));
  }

  /** Implements {@link EventStorage}. Throws when the file can't be written to. */
  add({ id, json }: StoredEvent): void {
    this.#append(`${json}\n`);
    this.#kept.set(id, json);
    this.#keptBytes += lineBytes(json);
  }

  /** Implements {@link EventStorage}. */
  remove(ids: readonly string[]): void {
    const known = ids.filter((id) => this.#kept.has(id));
    if (known.length === 0) return;
    this.#append(`${JSON.stringify({ delivered: known })}\n`);
    for (const id of known) {
      this.#keptBytes -= lineBytes(this.#kept.get(id)!);
      this.#kept.delete(id);
    }
    if (this.#kept.size === 0 && this.#file !== undefined) {
      ftruncateSync(this.#file, 0);
      this.#bytes = 0;
    } else if (this.#bytes - this.#keptBytes > Math.max(rewriteFromBytes, this.#keptBytes)) {
      this.#rewrite();
    }
  }

  /** Implements {@link EventStorage}. */
  close(): void {
    if (this.#file === undefined) return;
    closeSync(this.#file);
    this.#file = undefined;
    this.#releaseLock();
  }

  #append(line: string): void {
    if (this.#file === undefined) throw new Error(`${this.#path} is not open`);
    const bytes = Buffer.from(line);
    const written = writeSync(this.#file, bytes);
    this.#bytes += written;
    if (written === bytes.length) return;
    // The disk is full. Half a line would spoil the next one.
    this.#bytes -= written;
    ftruncateSync(this.#file, this.#bytes);
    throw new Error(`${this.#path} can't grow`);
  }

  /** Reads the lines. The last one may be torn: its event's track never returned. */
  #read(warn: (message: string) => void): void {
    if (!existsSync(this.#path)) return;
    const lines = readFileSync(this.#path, "utf8").split("\n");
    lines.forEach((line, i) => {
      if (line === "") return;
      let entry: unknown;
      try {
        // Without its line break even what reads as JSON may lack its end.
        if (i < lines.length - 1) entry = JSON.parse(line);
      } catch {
        // Said below.
      }
      const { delivered, event_id: id } = (entry ?? {}) as { delivered?: unknown; event_id?: unknown };
      if (typeof id === "string") this.#kept.set(id, line);
      else if (Array.isArray(delivered)) for (const id of delivered) this.#kept.delete(id as string);
      else warn(`line ${i + 1} of ${this.#path} is torn, and is skipped`);
    });
  }

  /** Writes the file anew, with nothing but what is kept. Until it has its name the old one counts. */
  #rewrite(): void {
    const next = `${this.#path}.new`;
    const file = openSync(next, "w", 0o600);
    const content = Buffer.from(Array.from(this.#kept.values(), (json) => `${json}\n`).join(""));
    for (let written = 0; written < content.length; ) written += writeSync(file, content, written);
    fsyncSync(file); // or a crash of the machine could leave the new name with nothing behind it
    renameSync(next, this.#path);
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = file;
    this.#bytes = this.#keptBytes = content.length;
  }

  #takeLock(): void {
    if (openHere.has(this.#directory)) throw new Error(`${this.#directory} is in use by another client of this process: give each a directory of its own`);
    for (;;) {
      try {
        const lock = openSync(this.#lock, "wx", 0o600);
        writeSync(lock, JSON.stringify({ pid: process.pid, started: startOf(process.pid) }));
        closeSync(lock);
        openHere.add(this.#directory);
        return;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      }
      const owner = this.#owner();
      if (owner !== undefined) {
        throw new Error(
          `${this.#directory} is in use by process ${owner}: give each process a directory of its own (if that process is another program, delete ${this.#lock})`,
        );
      }
      try {
        unlinkSync(this.#lock); // of a process that was killed
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      }
    }
  }

  #releaseLock(): void {
    openHere.delete(this.#directory);
    try {
      unlinkSync(this.#lock);
    } catch {
      // Somebody was faster; there is no lock, which is what is wanted.
    }
  }

  /** The living process that has the lock, or undefined. */
  #owner(): number | undefined {
    let pid: number, started: string | undefined;
    try {
      ({ pid, started } = JSON.parse(readFileSync(this.#lock, "utf8")) as { pid: number; started?: string });
      process.kill(pid, 0); // asks whether it is there
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EPERM") return undefined;
      return pid!;
    }
    // Numbers of processes are used again: in a container it is always the same few.
    return pid === process.pid || startOf(pid) !== started ? undefined : pid;
  }
}

/** When a process started, where the system tells (Linux): with its number, that names it for good. */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]; // starttime, proc(5)
  } catch {
    return undefined;
  }
}

function lineBytes(json: string): number {
  return Buffer.byteLength(json) + 1;
}
