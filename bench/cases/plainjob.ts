/**
 * plainjob as it ships: its own pragmas, table and worker, on better-sqlite3. Only its logger is
 * silenced, which prints five lines a job by default. Its worker runs one job at a time.
 */
import { join } from "node:path";
import Database from "better-sqlite3";
import { better, defineQueue, defineWorker, JobStatus, type Queue } from "plainjob";
import type { CaseContext, CaseResult } from "../harness/case.ts";
import { Deliveries } from "../harness/deliveries.ts";
import { items, slices, type Item } from "../harness/items.ts";
import { Meter } from "../harness/meter.ts";
import { durabilityOf, walCommits } from "../harness/sqlite-facts.ts";

const TYPE = "bench";
const PER_CALL = 500;
const silent = { error: ignore, warn: ignore, info: ignore, debug: ignore };

function ignore(): void {
  // Nothing is logged.
}

/** `addMany` of 500 until all are in, then one worker until all are done. */
export async function plainjobCycle(context: CaseContext): Promise<CaseResult> {
  const all = items(context.items);
  const deliveries = new Deliveries(all.length);
  const { queue, path, synchronous } = open(context);
  const { promise: finished, resolve: finish } = Promise.withResolvers<void>();
  let completed = 0;
  const worker = defineWorker(TYPE, (job) => deliveries.mark((JSON.parse(job.data) as Item).id), {
    queue,
    logger: silent,
    onCompleted: () => {
      if (++completed === all.length) finish();
    },
  });
  const meter = await Meter.start({ items: all.length, commits: () => walCommits(path) });
  for (const slice of slices(all, PER_CALL)) queue.addMany(TYPE, slice);
  meter.phase("add");
  const stopped = worker.start();
  await finished;
  await worker.stop();
  await stopped;
  meter.phase("process");
  const measurement = await meter.stop();
  queue.close();
  deliveries.verify();
  return { ...measurement, durability: durabilityOf(synchronous) };
}

/** `add` by 256 callers, one item at a time. */
export async function plainjobAdd256(context: CaseContext): Promise<CaseResult> {
  const all = items(context.items);
  const { queue, path, synchronous } = open(context);
  const meter = await Meter.start({ items: all.length, commits: () => walCommits(path) });
  const rest = all.values();
  const caller = async (): Promise<void> => {
    for (const item of rest) {
      queue.add(TYPE, item);
      // `add` is synchronous; this is what lets the next caller have its turn.
      await Promise.resolve();
    }
  };
  await Promise.all(Array.from({ length: 256 }, caller));
  meter.phase("add");
  const measurement = await meter.stop();
  const stored = queue.countJobs({ type: TYPE, status: JobStatus.Pending });
  queue.close();
  if (stored !== all.length) throw new Error(`${all.length} were added and ${stored} are stored`);
  return { ...measurement, durability: durabilityOf(synchronous) };
}

interface Opened {
  readonly queue: Queue;
  readonly path: string;
  readonly synchronous: number;
}

function open(context: CaseContext): Opened {
  const path = join(context.directory, "plainjob.db");
  const database = new Database(path);
  const queue = defineQueue({ connection: better(database), logger: silent });
  return { queue, path, synchronous: Number(database.pragma("synchronous", { simple: true })) };
}
