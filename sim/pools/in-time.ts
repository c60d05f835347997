/** When nothing goes wrong, what may start and what must stop is told so at once. */
import type { PoolLife, Running } from "./life.ts";
import { throttledUntil } from "./passed-over.ts";
import type { PoolRecord } from "./records.ts";
import type { PoolsWorld } from "./world.ts";

/** Everybody has heard of a commit when they were asked once more and had this long, ms. */
const IN_TIME_MS = 60;

/** To be asked after every event of a run in which nothing goes wrong. */
export class InTime {
  readonly #world: PoolsWorld;
  /** Since when something of a pool might start, virtual time. */
  readonly #since = new Map<PoolRecord, number>();
  /** Since when handlers run whose task was cancelled. */
  readonly #canceled = new WeakMap<Running, number>();

  constructor(world: PoolsWorld) {
    this.#world = world;
  }

  check(): void {
    const { ledger, scheduler, plan } = this.#world;
    for (const pool of ledger.pools.values()) {
      const startable = this.#startable(pool);
      if (startable === undefined) this.#since.delete(pool);
      else if (!this.#since.has(pool)) this.#since.set(pool, scheduler.now);
      const since = this.#since.get(pool) ?? scheduler.now;
      if (scheduler.now - since <= plan.pollMs + IN_TIME_MS) continue;
      const detail = `${startable} of ${pool.plan.name} might run since ${since.toFixed(0)}`;
      ledger.fail("what may start does so in time", detail);
    }
    for (const life of this.#world.alive()) this.#checkCanceled(life);
  }

  /** Whoever runs what was cancelled is told at the next heartbeat. */
  #checkCanceled({ name, running }: PoolLife): void {
    const { ledger, scheduler, plan } = this.#world;
    for (const one of running) {
      if (!one.task.canceled || one.task.slice !== one.slice) continue;
      const since = this.#canceled.get(one) ?? scheduler.now;
      this.#canceled.set(one, since);
      if (scheduler.now - since <= plan.heartbeatMs + IN_TIME_MS) continue;
      const detail = `${name} runs ${one.task.id}, which was cancelled at ${since.toFixed(0)}`;
      ledger.fail("cancelled tasks are told to stop in time", detail);
    }
  }

  /** The id of a task that waits for nothing. */
  #startable(pool: PoolRecord): string | undefined {
    const { maxParallelism, throttle, concurrencyPerKey, maxBytesPerWorker } = pool.plan;
    const limit = throttle && { max: throttle.max, durationMs: throttle.duration };
    const now = this.#world.scheduler.wallMs(0);
    if (pool.paused || pool.leased >= (pool.override ?? maxParallelism)) return undefined;
    if (maxBytesPerWorker < Number.POSITIVE_INFINITY) return undefined;
    if (throttledUntil(pool, limit, now) !== null) return undefined;
    if (!this.#world.up().some((life) => hasRoom(life, pool))) return undefined;
    for (const { slice, at, args, id, end } of pool.live) {
      if (slice !== null || end !== null || at > now) continue;
      const running = pool.ofKey.get(args.serialKey) ?? 0;
      if (args.serialKey === "" || running < concurrencyPerKey) return id;
    }
    return undefined;
  }
}

/** A process that may claim more tasks of the pool. */
function hasRoom({ started, running }: PoolLife, { plan }: PoolRecord): boolean {
  if (!started) return false;
  let here = 0;
  for (const { task } of running) if (task.pool.plan.name === plan.name) here++;
  return here < plan.maxConcurrencyPerWorker;
}
