/** Four processes on one pool; one after another is killed at a random moment and replaced. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Batchwork } from "batchwork";
import { sqlite } from "batchwork/sqlite";
import { sleep, systemClock } from "../../packages/batchwork/src/runtime/clock.ts";
import { seededRandom } from "../../packages/batchwork/src/testing/random.ts";
import { killOne } from "../campaign.ts";
import { Crew } from "../crew.ts";
import { ENGINE, SILENT } from "../work.ts";
import { readPoolJournals, type PoolTold } from "./journal.ts";
import { definePool, PARALLELISM, type ChaosPool } from "./work.ts";

export interface PoolCampaignOptions {
  readonly kills: number;
  readonly seed: number;
}

export interface PoolVerdict {
  readonly kills: number;
  readonly acknowledged: number;
  /** Handlers that were called, and those of tasks that had begun before. */
  readonly begun: number;
  readonly begunAgain: number;
  /** Tasks that were leased at the same time, at most, as the storage counts them. */
  readonly mostLeased: number;
  /** Handlers that ran at the same time, at most; and of one serial key. */
  readonly mostRunning: number;
  readonly mostOfOneKey: number;
  /** Processes that were taken for dead although they lived. */
  readonly zombies: number;
  /** Acknowledged tasks that are not over, or that nobody was told of. */
  readonly lost: number;
  readonly untold: number;
  readonly unfinished: number;
  readonly dead: number;
}

const PROCESSES = 4;
const SPARES = 2;
const BACKLOG_MAX = 200;
const DRAIN_MS = 60_000;
const LOOK_MS = 5;
const WORKER = new URL("worker.ts", import.meta.url);

export async function poolCampaign({ kills, seed }: PoolCampaignOptions): Promise<PoolVerdict> {
  const directory = mkdtempSync(join(tmpdir(), "batchwork-chaos-"));
  const path = join(directory, "chaos.db");
  const orders = { place: { kind: "sqlite", path }, seed, canary: false } as const;
  const crew = new Crew({
    directory,
    processes: PROCESSES,
    spares: SPARES,
    orders: { ...orders, backlogMax: BACKLOG_MAX },
    worker: WORKER,
  });
  const watcher = new Batchwork({ storage: sqlite({ path }), logger: SILENT, ...ENGINE });
  const steps = { run: async () => undefined, told: () => undefined };
  const pool = definePool(watcher, steps);
  const watch = new Watch(pool);
  try {
    await pool.stats();
    const watching = watch.look();
    await crew.start();
    const random = seededRandom(seed);
    for (let n = 0; n < kills; n++) await killOne(crew, PROCESSES, random);
    await crew.finish(async () => drained(pool, crew.journals));
    watch.over = true;
    await watching;
    const told = readPoolJournals(crew.journals);
    return await judge(pool, told, { kills, mostLeased: watch.most });
  } finally {
    watch.over = true;
    crew.end();
    await watcher.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** True when it found what is promised. */
export function isPoolKept(verdict: PoolVerdict): boolean {
  const { lost, untold, unfinished, dead, begun, mostLeased, mostRunning } = verdict;
  const { mostOfOneKey, zombies } = verdict;
  const nothingLost = lost + untold + unfinished + dead === 0 && begun > 0;
  // A zombie's handlers may run on: they count for nobody, and hold no place.
  const withinLimits = zombies > 0 || (mostRunning <= PARALLELISM && mostOfOneKey <= 1);
  return nothingLost && mostLeased <= PARALLELISM && withinLimits;
}

/** Looks at how many tasks are leased, as often as it can. */
class Watch {
  most = 0;
  over = false;
  readonly #pool: ChaosPool;

  constructor(pool: ChaosPool) {
    this.#pool = pool;
  }

  async look(): Promise<void> {
    while (!this.over) {
      try {
        this.most = Math.max(this.most, (await this.#pool.stats()).running);
      } catch {
        // Somebody writes; the next look may do better.
      }
      await sleep(systemClock, LOOK_MS);
    }
  }
}

async function drained(pool: ChaosPool, journals: readonly string[]): Promise<void> {
  const endAt = systemClock.monotonicMs() + DRAIN_MS;
  while (systemClock.monotonicMs() < endAt) {
    await sleep(systemClock, 100);
    const { waiting, delayed, running } = await pool.stats();
    if (waiting + delayed + running > 0) continue;
    const { acknowledged, told } = readPoolJournals(journals);
    if (acknowledged.isSubsetOf(told)) return;
  }
}

async function judge(
  pool: ChaosPool,
  told: PoolTold,
  seen: Pick<PoolVerdict, "kills" | "mostLeased">,
): Promise<PoolVerdict> {
  const ids = [...told.acknowledged];
  const statuses = await pool.statusBatch(ids);
  const { waiting, delayed, running, dead } = await pool.stats();
  const { begun, begunAgain, mostRunning, mostOfOneKey, zombies } = told;
  return {
    ...seen,
    acknowledged: ids.length,
    begun,
    begunAgain,
    mostRunning,
    mostOfOneKey,
    zombies,
    lost: statuses.filter((status) => status !== "finished").length,
    untold: told.acknowledged.difference(told.told).size,
    unfinished: waiting + delayed + running,
    dead,
  };
}
