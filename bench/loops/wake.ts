/**
 * How long it takes from `ping` (its commit included) to the look that finds the row, with a worker
 * that is idle: in the same process, and in another one that was told nothing but what is in the
 * file. Beside it, how late a timer of 1 ms is that does nothing else.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Batchwork, type Worker } from "batchwork";
import { sqlite } from "batchwork/sqlite";
import type { CaseContext, CaseResult, Latency } from "../harness/case.ts";
import { Meter } from "../harness/meter.ts";
import {
  durabilityOf,
  walCommits,
  watchConnections,
  weakestSynchronous,
} from "../harness/sqlite-facts.ts";
import { quantile } from "../harness/statistics.ts";
import { connect, fill, insertOne } from "./schema.ts";

const SLEEPER = fileURLToPath(new URL("sleeper.ts", import.meta.url));

/** Calls for `found` with each row, and the time (monotonic, of the machine) at which it was found. */
export function emailsWorker(
  bw: Batchwork,
  found: (id: number, at: bigint) => void,
): Worker<readonly number[]> {
  return bw.worker<readonly number[]>({
    name: "emails",
    query: (tx) => {
      const rows = tx.prepare("SELECT id FROM emails WHERE status = 'new' ORDER BY id").all();
      const at = process.hrtime.bigint();
      const batch = (rows as { readonly id: number }[]).map(({ id }) => id);
      for (const id of batch) found(id, at);
      return batch.length === 0 ? { kind: "idle", cooldownMs: 0 } : { kind: "work", batch };
    },
    process: (tx, batch) => {
      const mark = tx.prepare("UPDATE emails SET status = 'sent' WHERE id = ?");
      for (const id of batch) mark.run(id);
    },
  });
}

export async function wakeInside({ items, directory }: CaseContext): Promise<CaseResult> {
  watchConnections();
  const { path, database } = prepare(directory);
  const bw = new Batchwork({ storage: sqlite({ path }) });
  const heard = new Heard();
  const emails = emailsWorker(bw, (id, at) => heard.found(id, at));
  await bw.start();
  const result = await pings({ items, path, database, emails, heard });
  await bw.stop();
  database.close();
  return result;
}

export async function wakeAcross({ items, directory }: CaseContext): Promise<CaseResult> {
  watchConnections();
  const { path, database } = prepare(directory);
  const bw = new Batchwork({ storage: sqlite({ path }) });
  const emails = emailsWorker(bw, () => undefined);
  // Opens the file; this process never starts its engine.
  await emails.status();
  const heard = new Heard();
  const sleeper = fork(SLEEPER, [path], { execArgv: process.execArgv });
  sleeper.on("message", (message) => {
    const { id, at } = message as { readonly id: number; readonly at: string };
    heard.found(id, BigInt(at));
  });
  try {
    const result = await pings({ items, path, database, emails, heard });
    sleeper.send("stop");
    await once(sleeper, "exit");
    return result;
  } finally {
    sleeper.kill();
    await bw.stop();
    database.close();
  }
}

interface Pinging {
  readonly items: number;
  readonly path: string;
  readonly database: DatabaseSync;
  readonly emails: Worker<readonly number[]>;
  readonly heard: Heard;
}

async function pings({ items, path, database, emails, heard }: Pinging): Promise<CaseResult> {
  const meter = await Meter.start({ items, commits: () => walCommits(path) });
  const [waits, timers]: [number[], number[]] = [[], []];
  for (let id = 0; id < items; id++) {
    while ((await emails.status()).status !== "idle") await sleep(1);
    // Pings come at any time between two looks.
    await sleep(5 + ((id * 7) % 53));
    insertOne(database, id);
    const since = process.hrtime.bigint();
    await emails.ping();
    waits.push(Number((await heard.of(id)) - since) / 1e6);
    timers.push(await lateness());
  }
  const measurement = await meter.stop();
  const wake = { ping: percentiles(waits), timer: percentiles(timers) };
  return { ...measurement, durability: durabilityOf(weakestSynchronous()), wake };
}

async function lateness(): Promise<number> {
  const since = performance.now();
  await sleep(1);
  return performance.now() - since;
}

function percentiles(values: readonly number[]): Latency {
  return { p50: quantile(values, 0.5), p99: quantile(values, 0.99) };
}

function prepare(directory: string): { path: string; database: DatabaseSync } {
  const path = join(directory, "work.db");
  const database = connect(path);
  fill(database, 0);
  return { path, database };
}

/** When each row was found first. */
class Heard {
  readonly #waiting = new Map<number, PromiseWithResolvers<bigint>>();

  found(id: number, at: bigint): void {
    this.#entry(id).resolve(at);
  }

  async of(id: number): Promise<bigint> {
    const at = await this.#entry(id).promise;
    this.#waiting.delete(id);
    return at;
  }

  #entry(id: number): PromiseWithResolvers<bigint> {
    let entry = this.#waiting.get(id);
    if (entry === undefined) {
      entry = Promise.withResolvers<bigint>();
      this.#waiting.set(id, entry);
    }
    return entry;
  }
}
