/** Three processes on one file; one after another is killed at a random moment and replaced. */
import { fork, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

import { seededRandom } from "../packages/batchwork/src/testing/random.ts";
import { sleep, systemClock } from "../packages/batchwork/src/runtime/clock.ts";
import { judge, leftBehind, type Verdict } from "./verdict.ts";
import { EFFECTS_TABLE, LEASE_MS } from "./work.ts";
import type { Orders } from "./worker.ts";

export interface CampaignOptions {
  readonly kills: number;
  readonly seed: number;
  /** True to have the handlers do it wrong, to see that it is noticed. Default false. */
  readonly canary?: boolean;
}

export interface CampaignResult extends Verdict {
  readonly kills: number;
  readonly killsPerMinute: number;
  readonly seconds: number;
}

const PROCESSES = 3;
/** Processes that have loaded and wait for their turn, so a kill does not wait for a start. */
const SPARES = 2;
/** How long a process works before it is killed, ms. */
const WORK_MS_MIN = 5;
const WORK_MS_MAX = 65;
/** When the killing is over everything is done within so long, ms. */
const DRAIN_MS = 60_000;

const WORKER = new URL("worker.ts", import.meta.url);

/** Runs a campaign in a directory of its own, which is removed when it is over. */
export async function campaign({
  kills,
  seed,
  canary = false,
}: CampaignOptions): Promise<CampaignResult> {
  const directory = mkdtempSync(join(tmpdir(), "batchwork-chaos-"));
  const crew = new Crew(directory, seed, canary);
  try {
    prepare(crew.path);
    const startedAt = systemClock.monotonicMs();
    await crew.start();
    const random = seededRandom(seed);
    for (let n = 0; n < kills; n++) await crew.killOne(random);
    const seconds = (systemClock.monotonicMs() - startedAt) / 1000;
    await crew.finish();
    const verdict = await judge(crew.path, crew.journals);
    return { ...verdict, kills, killsPerMinute: (kills / seconds) * 60, seconds };
  } finally {
    crew.end();
    rmSync(directory, { recursive: true, force: true });
  }
}

function prepare(path: string): void {
  const database = new DatabaseSync(path);
  database.exec("PRAGMA journal_mode = WAL");
  database.exec(`CREATE TABLE ${EFFECTS_TABLE} (uid TEXT NOT NULL, batch TEXT NOT NULL)`);
  database.close();
}

/** A process that has begun to work. */
interface Working {
  readonly child: ChildProcess;
  readonly since: number;
}

/** The processes of a campaign. */
class Crew {
  readonly path: string;
  readonly journals: string[] = [];
  readonly #directory: string;
  readonly #seed: number;
  readonly #canary: boolean;
  readonly #spares: Promise<ChildProcess>[] = [];
  readonly #all = new Set<ChildProcess>();
  #working: Promise<Working>[] = [];
  #lives = 0;

  constructor(directory: string, seed: number, canary: boolean) {
    this.#directory = directory;
    this.#canary = canary;
    this.#seed = seed;
    this.path = join(directory, "chaos.db");
  }

  async start(): Promise<void> {
    for (let n = 0; n < SPARES; n++) this.#addSpare();
    for (let n = 0; n < PROCESSES; n++) this.#working.push(this.#employ());
    await Promise.all(this.#working);
  }

  /** Kills a random process when it has worked for a random while, and replaces it. */
  async killOne(random: () => number): Promise<void> {
    const slot = Math.floor(random() * PROCESSES);
    const { child, since } = await (this.#working[slot] as Promise<Working>);
    const workMs = WORK_MS_MIN + random() * (WORK_MS_MAX - WORK_MS_MIN);
    const left = since + workMs - systemClock.monotonicMs();
    // Whoever has worked longer than that already gets a part of it more.
    await sleep(systemClock, left > 0 ? left : random() * WORK_MS_MIN);
    if (child.exitCode !== null) throw new Error(`A worker ended by itself: ${child.exitCode}.`);
    const gone = exited(child);
    child.kill("SIGKILL");
    await gone;
    this.#working[slot] = this.#employ();
  }

  /** Lets everybody finish what there is, and go. */
  async finish(): Promise<void> {
    const children = (await Promise.all(this.#working)).map(({ child }) => child);
    for (const child of children) child.send("produce no more");
    const endAt = systemClock.monotonicMs() + DRAIN_MS;
    for (;;) {
      await sleep(systemClock, LEASE_MS / 4);
      const { waiting, leased, retrying } = await leftBehind(this.path);
      if (waiting + leased + retrying === 0 || systemClock.monotonicMs() > endAt) break;
    }
    const finished = children.map(async (child) => told(child, "finished"));
    for (const child of children) child.send("stop");
    await Promise.all(finished);
  }

  /** Nobody is left behind, however the campaign ended. */
  end(): void {
    for (const child of this.#all) child.kill("SIGKILL");
  }

  #addSpare(): void {
    const spare = this.#load();
    // One that is still loading when the campaign ends is killed: nobody is left to hear of it.
    spare.catch(() => undefined);
    this.#spares.push(spare);
  }

  async #load(): Promise<ChildProcess> {
    const env = { ...process.env, NODE_COMPILE_CACHE: join(this.#directory, "compiled") };
    const child = fork(WORKER, { execArgv: ["--conditions=batchwork-source"], env });
    this.#all.add(child);
    child.once("exit", () => {
      this.#all.delete(child);
    });
    await told(child, "loaded");
    return child;
  }

  async #employ(): Promise<Working> {
    this.#addSpare();
    const child = await (this.#spares.shift() as Promise<ChildProcess>);
    const life = ++this.#lives;
    const journal = join(this.#directory, `${life}.log`);
    this.journals.push(journal);
    const working = told(child, "working");
    const seed = this.#seed + life;
    const orders: Orders = { path: this.path, journal, life, seed, canary: this.#canary };
    child.send(orders);
    await working;
    return { child, since: systemClock.monotonicMs() };
  }
}

/** Resolves when the process says `word`; rejects when it ends before. */
function told(child: ChildProcess, word: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const ended = (code: number | null): void => {
      reject(new Error(`A worker ended (${code}) before it said "${word}".`));
    };
    const heard = (message: unknown): void => {
      if (message !== word) return;
      child.off("message", heard);
      child.off("exit", ended);
      resolve();
    };
    child.on("message", heard);
    child.on("exit", ended);
  });
}

function exited(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once("exit", () => resolve());
  });
}
