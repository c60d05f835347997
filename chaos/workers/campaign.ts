/**
 * Workers of two processes on one table, while rows come in and one process after the other is
 * killed by SIGKILL. Every row must be processed exactly once.
 */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { Batchwork } from "batchwork";
import { sqlite } from "batchwork/sqlite";

import { systemClock, sleep } from "../../packages/batchwork/src/runtime/clock.ts";
import { Rng } from "../../sim/rng.ts";
import type { WorkerOrders } from "./process.ts";
import { connect, createTable, PARTITIONS } from "./table.ts";

export interface WorkersCampaign {
  readonly kills: number;
  readonly seed: number;
}

export interface WorkersVerdict {
  readonly rows: number;
  readonly kills: number;
  /** Rows that were processed in a transaction that never committed, and again later. */
  readonly calledAgain: number;
  readonly lost: number;
  readonly twice: number;
  /** Rows that still wait at the end. */
  readonly waiting: number;
  readonly integrity: string;
}

const PROCESS = fileURLToPath(new URL("process.ts", import.meta.url));
const PROCESSES = 2;
const LEASE_MS = 900;

export async function workersCampaign(options: WorkersCampaign): Promise<WorkersVerdict> {
  const directory = mkdtempSync(join(tmpdir(), "batchwork-workers-"));
  const path = join(directory, "work.db");
  const calls = join(directory, "calls");
  writeFileSync(calls, "");
  const database = connect(path);
  createTable(database);
  const crew = new Crew({ path, calls, leaseMs: LEASE_MS });
  const producer = new Producer(database, path);
  try {
    await producer.open();
    await crew.start();
    const rng = new Rng(options.seed);
    for (let kill = 0; kill < options.kills; kill++) {
      for (let call = rng.whole(3, 12); call > 0; call--) {
        await producer.insert(rng.whole(1, 80), rng.pick(PARTITIONS));
        await sleep(systemClock, rng.whole(1, 40));
      }
      await crew.replace(rng.whole(0, PROCESSES - 1));
    }
    while (producer.waiting > 0) await sleep(systemClock, 50);
    await crew.stop();
    return verdictOf(database, producer.rows, options, calls);
  } finally {
    crew.killAll();
    await producer.close();
    database.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

export function isWorkersKept({ lost, twice, waiting, integrity }: WorkersVerdict): boolean {
  return lost + twice + waiting === 0 && integrity === "ok";
}

function verdictOf(
  database: DatabaseSync,
  rows: number,
  { kills }: WorkersCampaign,
  calls: string,
): WorkersVerdict {
  const committed = database.prepare("SELECT id FROM done").all() as { readonly id: number }[];
  const called = readFileSync(calls, "utf8").split("\n").filter(Boolean).map(Number);
  const ids = new Set(committed.map(({ id }) => id));
  const waiting = Number(database.prepare("SELECT count(*) AS n FROM work").get()?.["n"]);
  const integrity = database.prepare("PRAGMA integrity_check").get()?.["integrity_check"];
  return {
    rows,
    kills,
    calledAgain: called.length - new Set(called).size,
    lost: rows - ids.size,
    twice: committed.length - ids.size,
    waiting,
    integrity: String(integrity),
  };
}

/** Inserts rows and pings, in a process that has no engine running. */
class Producer {
  rows = 0;
  readonly #database: DatabaseSync;
  readonly #bw: Batchwork;
  readonly #worker: ReturnType<typeof workerOf>;

  constructor(database: DatabaseSync, path: string) {
    this.#database = database;
    this.#bw = new Batchwork({ storage: sqlite({ path }) });
    this.#worker = workerOf(this.#bw);
  }

  get waiting(): number {
    return Number(this.#database.prepare("SELECT count(*) AS n FROM work").get()?.["n"]);
  }

  async open(): Promise<void> {
    await this.#worker.status();
  }

  /** With a ping in the same transaction, so that nobody can die in between. */
  async insert(count: number, part: string): Promise<void> {
    this.#database.exec("BEGIN IMMEDIATE");
    const insert = this.#database.prepare("INSERT INTO work VALUES (?, ?)");
    for (let n = 0; n < count; n++) insert.run(++this.rows, part);
    this.#worker.pingSync({ tx: this.#database, partition: part });
    this.#database.exec("COMMIT");
  }

  async close(): Promise<void> {
    await this.#bw.stop();
  }
}

function workerOf(bw: Batchwork): ReturnType<typeof bw.worker<readonly number[]>> {
  return bw.worker<readonly number[]>({
    name: "campaign",
    partitions: PARTITIONS,
    query: () => ({ kind: "idle" }),
    process: () => undefined,
  });
}

/** The processes that work. */
class Crew {
  readonly #orders: WorkerOrders;
  readonly #children: ChildProcess[] = [];

  constructor(orders: WorkerOrders) {
    this.#orders = orders;
  }

  async start(): Promise<void> {
    for (let n = 0; n < PROCESSES; n++) this.#children.push(await this.#employ());
  }

  /** Kills the process at a place, and puts another there. */
  async replace(place: number): Promise<void> {
    const child = this.#children[place] as ChildProcess;
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
    this.#children[place] = await this.#employ();
  }

  async stop(): Promise<void> {
    await Promise.all(
      this.#children.map(async (child) => {
        const gone = once(child, "exit");
        child.send("stop");
        await gone;
      }),
    );
  }

  killAll(): void {
    for (const child of this.#children) child.kill("SIGKILL");
  }

  async #employ(): Promise<ChildProcess> {
    const execArgv = ["--conditions=batchwork-source"];
    const child = fork(PROCESS, [JSON.stringify(this.#orders)], { execArgv });
    await once(child, "message");
    return child;
  }
}
