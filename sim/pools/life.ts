/** One life of one process that enqueues and runs simulated tasks. */
import {
  Batchwork,
  type Clock,
  type Completion,
  type CompletionContext,
  type Pool,
  type TaskContext,
} from "batchwork";
import { faultyStorage } from "../../packages/batchwork/src/testing/faulty-storage.ts";
import { faultSchedule } from "../faults.ts";
import { noting } from "../logger.ts";
import type { ProcessClock } from "../scheduler.ts";
import type { Door } from "../stores.ts";
import { tellOf, runTask } from "./handler.ts";
import type { PoolPlan } from "./plan.ts";
import type { SliceRecord, TaskRecord } from "./records.ts";
import type { SimReturn, SimTask } from "./task.ts";
import type { PoolsWorld } from "./world.ts";

export type SimPool = Pool<{
  readonly work: (args: SimTask, ctx: TaskContext) => Promise<SimReturn>;
}>;

/** A handler that runs, and the lease under which it was called. */
export interface Running {
  readonly task: TaskRecord;
  readonly slice: SliceRecord | null;
}

export class PoolLife {
  readonly number: number;
  readonly name: string;
  readonly clock: ProcessClock;
  /** For what is not the engine's. */
  readonly beside: Clock;
  readonly engine: Batchwork;
  readonly door: Door;
  readonly pools: readonly SimPool[];
  readonly running = new Set<Running>();
  /** True once `start()` has resolved. */
  started = false;
  state: "up" | "stopping" | "stopped" = "up";
  /** Virtual time until which its storage fails every call. */
  outageUntil = 0;
  /** Calls that have not ended. */
  readonly waiting = new Set<string>();
  readonly #world: PoolsWorld;

  constructor(world: PoolsWorld, number: number, name: string) {
    this.#world = world;
    this.number = number;
    this.name = name;
    this.clock = world.scheduler.clock();
    this.beside = this.clock.beside();
    const { plan, rng, mutant, control, scheduler } = world;
    this.door = world.store.open();
    const opened = this.door.storage;
    const spoiled = mutant?.storage?.(opened) ?? opened;
    const faulty = faultyStorage(world.watch.over(spoiled, this.clock, number), {
      clock: this.beside,
      schedule: faultSchedule(plan.faults, rng, control, {
        slowestMs: plan.leaseMs / 4,
        isDown: () => scheduler.now < this.outageUntil,
      }),
    });
    if (plan.faults.deaf) faulty.changed = () => false;
    this.engine = new Batchwork({
      storage: mutant?.engine?.(faulty) ?? faulty,
      clock: this.clock,
      logger: noting((text) => world.note(name, text)),
      leaseMs: plan.leaseMs,
      heartbeatMs: plan.heartbeatMs,
      tickIntervalMs: plan.tickIntervalMs,
      pollMs: plan.pollMs,
      maxCrashes: plan.maxCrashes,
    });
    this.pools = plan.pools.map((pool) => this.#define(pool));
  }

  /** True when it takes calls. */
  get up(): boolean {
    return this.state === "up" && !this.clock.dead && !this.clock.paused;
  }

  #define(plan: PoolPlan): SimPool {
    const { throttle, timeout, maxBytesPerWorker, maxPending, keepsResults, retry } = plan;
    return this.engine.pool({
      name: plan.name,
      maxParallelism: plan.maxParallelism,
      maxConcurrencyPerWorker: plan.maxConcurrencyPerWorker,
      maxBytesPerWorker,
      concurrencyPerKey: plan.concurrencyPerKey,
      retry: { ...retry, base: 2 },
      // The memory and the timers of the simulator itself are none of the process's.
      maxHeapMB: Number.POSITIVE_INFINITY,
      maxLoopLagMs: Number.POSITIVE_INFINITY,
      ...(throttle === undefined ? {} : { throttle }),
      ...(timeout === undefined ? {} : { timeout }),
      ...(maxPending === undefined ? {} : { maxPending }),
      ...(keepsResults ? {} : { ttl: 0 }),
      ...this.#callbacks(plan),
      handlers: {
        work: async (args: SimTask, ctx: TaskContext) => runTask(this.#world, this, args, ctx),
      },
    });
  }

  #callbacks({ told }: PoolPlan): object {
    if (told === "nobody") return {};
    if (told === "each") {
      return { onComplete: async (one: Completion) => tellOf(this.#world, this, [one]) };
    }
    const isOne = told === "in a transaction";
    return {
      onCompleteBatch: async (completions: Completion[], ctx: CompletionContext) =>
        tellOf(this.#world, this, completions, isOne ? ctx : undefined),
    };
  }
}
