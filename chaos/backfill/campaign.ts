/**
 * A backfill of a large table whose process is killed and whose job is paused and resumed, again
 * and again, while another process inserts, deletes and updates rows.
 */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { JobStatus } from "batchwork";
import { seededRandom } from "../../packages/batchwork/src/testing/random.ts";
import { sleep, systemClock } from "../../packages/batchwork/src/runtime/clock.ts";
import { connect, fill, JOB, openEngine, SPACING } from "./work.ts";

export interface BackfillOptions {
  readonly rows: number;
  readonly kills: number;
  readonly pauses: number;
  readonly seed: number;
  /** Reads with a cursor that skips rows: a proof that does not notice it is no good. */
  readonly canary?: boolean;
}

/** What came of it. */
export interface BackfillVerdict {
  readonly rows: number;
  readonly kills: number;
  readonly pauses: number;
  /** Kills by what the job was doing. */
  readonly killedIn: Readonly<Record<string, number>>;
  /** Rows of the start that are still there. */
  readonly stayed: number;
  /** Of these, never processed; processed more than once. */
  readonly lost: number;
  readonly twice: number;
  /** Rows that came late, and of these processed more than once. */
  readonly came: number;
  readonly cameTwice: number;
  readonly status: string;
  readonly proven: boolean;
  readonly missed: number;
  readonly late: number;
  readonly repeated: number;
  readonly integrity: string;
}

/** True when every row that was there and stayed was processed once, and the proof says so. */
export function isProven(verdict: BackfillVerdict): boolean {
  const { status, stayed, lost, twice, cameTwice, integrity, proven } = verdict;
  const done = status === "completed" && stayed > 0 && integrity === "ok";
  return done && lost === 0 && twice === 0 && cameTwice === 0 && proven;
}

type Backfill = ReturnType<typeof openEngine>["backfill"];

const WALKER = new URL("walker.ts", import.meta.url);
const CHURN = new URL("churn.ts", import.meta.url);

const LOOK_MS = 5;
/** Processes that have loaded and wait for their turn. */
const SPARES = 3;

export async function backfillCampaign(options: BackfillOptions): Promise<BackfillVerdict> {
  const { rows, seed, canary = false } = options;
  const directory = mkdtempSync(join(tmpdir(), "batchwork-backfill-"));
  const path = join(directory, "work.db");
  const database = connect(path);
  fill(database, rows);
  const children: ChildProcess[] = [];
  // Defines the job and looks at it, and does not run it.
  const { engine, backfill } = openEngine(path, false);
  try {
    const churn = start(CHURN, children);
    await backfill.start(JOB);
    const walkers = new Walkers({ path, faulty: canary }, children);
    await told(await churn, { path, rows, seed }, "working");
    const killed = await harass(backfill, walkers, options);
    const { status, coverage } = (await backfill.status(JOB)) as JobStatus;
    for (const child of children) child.kill("SIGKILL");
    await Promise.all(children.map(ended));
    return {
      rows,
      ...killed,
      ...counted(database),
      status,
      proven: coverage?.proven ?? false,
      missed: coverage?.missed ?? 0,
      late: coverage?.late ?? 0,
      repeated: coverage?.repeated ?? 0,
      integrity: String(Object.values(database.prepare("PRAGMA integrity_check").get() ?? {})[0]),
    };
  } finally {
    for (const child of children) child.kill("SIGKILL");
    await engine.stop();
    database.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** One walker at a time, and others that wait to take its place. */
class Walkers {
  readonly #orders: unknown;
  readonly #children: ChildProcess[];
  readonly #spares: Promise<ChildProcess>[] = [];
  #current: ChildProcess | undefined;

  constructor(orders: unknown, children: ChildProcess[]) {
    this.#orders = orders;
    this.#children = children;
    for (let n = 0; n < SPARES; n++) this.#addSpare();
  }

  #addSpare(): void {
    const spare = start(WALKER, this.#children);
    // Those that are left at the end are killed while they load.
    spare.catch(() => undefined);
    this.#spares.push(spare);
  }

  /** Kills the one at work, if there is one, and puts another there. */
  async replace(): Promise<void> {
    if (this.#current !== undefined) {
      this.#current.kill("SIGKILL");
      await ended(this.#current);
    }
    const next = await (this.#spares.shift() as Promise<ChildProcess>);
    this.#addSpare();
    await told(next, this.#orders, "working");
    this.#current = next;
  }
}

/** Kills and pauses, spread over the whole of the job, until it has ended. */
async function harass(
  backfill: Backfill,
  walkers: Walkers,
  { rows, kills, pauses, seed }: BackfillOptions,
): Promise<{ kills: number; pauses: number; killedIn: Record<string, number> }> {
  const random = seededRandom(seed + 1);
  const killedIn: Record<string, number> = {};
  const done = { kills: 0, pauses: 0, killedIn };
  const looked = async (): Promise<JobStatus> => (await backfill.status(JOB)) as JobStatus;
  // A tenth before the walk, a tenth behind it.
  const early = Math.ceil(kills / 10);
  const inWalk = Math.max(1, kills - 2 * early);
  await walkers.replace();
  for (;;) {
    const { status, phase, processedCount: at } = await looked();
    if (status !== "running" && status !== "pending") return done;
    const walked = early + Math.floor((at / rows) * (inWalk + 1));
    const due = { census: early, walk: Math.min(walked, kills - early) }[phase as string] ?? kills;
    if (done.kills < due) {
      // In the middle of whatever it does.
      await sleep(systemClock, random() * 20);
      const { phase: now } = await looked();
      killedIn[now] = (killedIn[now] ?? 0) + 1;
      await walkers.replace();
      done.kills++;
      // Somebody has to get somewhere before the next one goes.
      await progressed(looked, now === "walk" ? at : null);
    }
    if (phase === "walk" && done.pauses < pauses && at > ((done.pauses + 0.5) * rows) / pauses) {
      await pauseAndResume(backfill, looked);
      done.pauses++;
    }
    await sleep(systemClock, LOOK_MS);
  }
}

/** Waits until a page was done since, or something else. */
async function progressed(looked: () => Promise<JobStatus>, from: number | null): Promise<void> {
  const before = await looked();
  for (;;) {
    const { status, phase, processedCount, updatedAt } = await looked();
    if (status === "completed" || phase !== before.phase) return;
    if (from !== null && processedCount > before.processedCount) return;
    if (from === null && updatedAt.getTime() > before.updatedAt.getTime()) return;
    await sleep(systemClock, LOOK_MS);
  }
}

/** Some resume in the middle of a page, others when it has ended. */
async function pauseAndResume(backfill: Backfill, looked: () => Promise<JobStatus>): Promise<void> {
  await backfill.pause(JOB);
  const { processedCount: before } = await looked();
  await sleep(systemClock, before % 2 === 0 ? 0 : 100);
  await backfill.resume(JOB);
}

function counted(
  database: ReturnType<typeof connect>,
): Pick<BackfillVerdict, "stayed" | "lost" | "twice" | "came" | "cameTwice"> {
  const row = database
    .prepare(
      `SELECT total(id % :spacing = 0) AS stayed,
        total(id % :spacing = 0 AND done = 0) AS lost,
        total(id % :spacing = 0 AND done > 1) AS twice,
        total(id % :spacing <> 0) AS came,
        total(id % :spacing <> 0 AND done > 1) AS cameTwice
      FROM rows`,
    )
    .get({ spacing: SPACING });
  return row as unknown as ReturnType<typeof counted>;
}

async function start(script: URL, children: ChildProcess[]): Promise<ChildProcess> {
  const child = fork(script, {
    execArgv: ["--conditions=batchwork-source"],
  });
  children.push(child);
  await heard(child, "loaded");
  return child;
}

async function told(child: ChildProcess, orders: unknown, word: string): Promise<void> {
  const answer = heard(child, word);
  child.send(orders as object);
  await answer;
}

async function heard(child: ChildProcess, word: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const gone = (): void => reject(new Error(`A process ended before it said "${word}".`));
  const said = (message: unknown): void => {
    if (message === word) resolve();
  };
  child.once("exit", gone);
  child.on("message", said);
  await promise.finally(() => {
    child.off("exit", gone);
    child.off("message", said);
  });
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
}
