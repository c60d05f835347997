/** Four processes on one pool; one after another is killed at a random moment and replaced. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Batchwork } from "batchwork";
import { sleep, systemClock } from "../../packages/batchwork/src/runtime/clock.ts";
import { seededRandom } from "../../packages/batchwork/src/testing/random.ts";
import { killOne } from "../campaign.ts";
import { Crew } from "../crew.ts";
import type { Cluster } from "../postgres/cluster.ts";
import { openStore, type Store } from "../stores.ts";
import { ENGINE, SILENT } from "../work.ts";
import { postgresHome, sqliteHome, type PoolHome } from "./home.ts";
import { readPoolJournals, type PoolTold } from "./journal.ts";
import { definePool, PARALLELISM, returnOf, type ChaosPool } from "./work.ts";

export interface PoolCampaignOptions {
  readonly kills: number;
  readonly seed: number;
  /** The server on which it runs. Default: none; it runs on a SQLite file. */
  readonly cluster?: Cluster;
  /** True to have the callbacks do it wrong, to see that it is noticed. Default false. */
  readonly canary?: boolean;
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
  /** Acknowledged tasks that are not over, or have another's result. Must be 0. */
  readonly lost: number;
  readonly wrong: number;
  /** Acknowledged tasks whose end has no effect in the database, or several. Must be 0. */
  readonly untold: number;
  readonly duplicates: number;
  /** Acknowledged tasks whose handler never came to an end. Must be 0. */
  readonly unrun: number;
  readonly unfinished: number;
  readonly dead: number;
  /** Transactions and locks that somebody left behind on the server. Must be 0. */
  readonly leftOpen: number;
  /** What a check of the database itself says. Must be "ok". */
  readonly integrity: string;
}

const PROCESSES = 4;
const SPARES = 2;
const BACKLOG_MAX = 200;
const DRAIN_MS = 60_000;
const LOOK_MS = 5;
const WORKER = new URL("worker.ts", import.meta.url);

export async function poolCampaign(options: PoolCampaignOptions): Promise<PoolVerdict> {
  const { kills, seed, cluster, canary = false } = options;
  const directory = mkdtempSync(join(tmpdir(), "batchwork-chaos-"));
  const home = cluster === undefined ? sqliteHome(directory) : await postgresHome(cluster);
  const { place } = home;
  const crew = new Crew({
    directory,
    processes: PROCESSES,
    spares: SPARES,
    orders: { place, seed, canary, backlogMax: BACKLOG_MAX },
    worker: WORKER,
  });
  const observer = new Observer(openStore(place, false));
  try {
    await observer.begin();
    await crew.start();
    const random = seededRandom(seed);
    for (let n = 0; n < kills; n++) await killOne(crew, PROCESSES, random);
    await crew.finish(async () => drained(observer.pool, home, crew.journals));
    const mostLeased = await observer.end();
    const told = readPoolJournals(crew.journals);
    const { leftOpen, ...verdict } = await judge(observer.pool, home, told);
    await observer.close();
    return { kills, mostLeased, ...verdict, leftOpen: await leftOpen() };
  } finally {
    await observer.close();
    crew.end();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** True when it found what is promised. */
export function isPoolKept(verdict: PoolVerdict): boolean {
  const { lost, wrong, untold, duplicates, unrun, unfinished, dead, leftOpen } = verdict;
  const { begun, mostLeased, mostRunning, mostOfOneKey, zombies, integrity } = verdict;
  const broken = lost + wrong + untold + duplicates + unrun + unfinished + dead + leftOpen;
  // A zombie's handlers may run on: they count for nobody, and hold no place.
  const withinLimits = zombies > 0 || (mostRunning <= PARALLELISM && mostOfOneKey <= 1);
  const isSound = broken === 0 && integrity === "ok" && begun > 0;
  return isSound && mostLeased <= PARALLELISM && withinLimits;
}

/** Looks at how many tasks are leased, as often as it can. */
class Observer {
  readonly pool: ChaosPool;
  readonly #store: Store;
  readonly #engine: Batchwork;
  #most = 0;
  #isOver = false;
  #looking: Promise<void> | undefined;
  #closed: Promise<void> | undefined;

  constructor(store: Store) {
    this.#store = store;
    this.#engine = new Batchwork({ storage: store.storage, logger: SILENT, ...ENGINE });
    const nothing = async (): Promise<void> => undefined;
    this.pool = definePool(this.#engine, { run: nothing, told: nothing });
  }

  async begin(): Promise<void> {
    await this.pool.stats();
    this.#looking = this.#look();
  }

  /** Resolves with the most that were ever leased together. */
  async end(): Promise<number> {
    this.#isOver = true;
    await this.#looking;
    return this.#most;
  }

  async close(): Promise<void> {
    this.#isOver = true;
    this.#closed ??= this.#close();
    await this.#closed;
  }

  async #close(): Promise<void> {
    await this.#looking;
    await this.#engine.stop();
    await this.#store.close();
  }

  async #look(): Promise<void> {
    while (!this.#isOver) {
      try {
        this.#most = Math.max(this.#most, (await this.pool.stats()).running);
      } catch {
        // Somebody writes; the next look may do better.
      }
      await sleep(systemClock, LOOK_MS);
    }
  }
}

async function drained(
  pool: ChaosPool,
  home: PoolHome,
  journals: readonly string[],
): Promise<void> {
  const endAt = systemClock.monotonicMs() + DRAIN_MS;
  while (systemClock.monotonicMs() < endAt) {
    await sleep(systemClock, 100);
    const { waiting, delayed, running } = await pool.stats();
    if (waiting + delayed + running > 0) continue;
    const { acknowledged } = readPoolJournals(journals);
    if (acknowledged.isSubsetOf(new Set(await home.effects()))) return;
  }
}

async function judge(
  pool: ChaosPool,
  home: PoolHome,
  told: PoolTold,
): Promise<
  Omit<PoolVerdict, "kills" | "mostLeased" | "leftOpen"> & {
    readonly leftOpen: PoolHome["leftOpen"];
  }
> {
  const ids = [...told.acknowledged];
  const statuses = await pool.statusBatch(ids);
  const finished = ids.filter((_, n) => statuses[n] === "finished");
  const results = await Promise.all(finished.map(async (id) => pool.result(id)));
  const isRight = finished.filter((id, n) => {
    const result = results[n];
    return result?.kind === "success" && result.returnValue === returnOf(id);
  });
  const effects = await home.effects();
  const withEffects = new Set(effects);
  const { waiting, delayed, running, dead } = await pool.stats();
  const { begun, begunAgain, mostRunning, mostOfOneKey, zombies } = told;
  return {
    acknowledged: ids.length,
    begun,
    begunAgain,
    mostRunning,
    mostOfOneKey,
    zombies,
    lost: ids.length - finished.length,
    wrong: finished.length - isRight.length,
    untold: told.acknowledged.difference(withEffects).size,
    duplicates: effects.length - withEffects.size,
    unrun: told.acknowledged.difference(told.ended).size,
    unfinished: waiting + delayed + running,
    dead,
    integrity: await home.integrity(),
    leftOpen: home.leftOpen,
  };
}
