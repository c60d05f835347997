/** One life of one simulated process: an engine of its own on a door of its own. */
import { Batchwork, type Batch, type Clock } from "batchwork";
import {
  faultyStorage,
  type FaultSchedule,
} from "../packages/batchwork/src/testing/faulty-storage.ts";
import { play, reorder } from "./handler.ts";
import { keyOf, type SimItem } from "./item.ts";
import { noting } from "./logger.ts";
import { LedgerStorage } from "./ledger/ledger-storage.ts";
import type { Life as LedgerLife } from "./ledger/life.ts";
import type { Delivery, Grant } from "./ledger/records.ts";
import type { QueuePlan } from "./plan.ts";
import type { ProcessClock } from "./scheduler.ts";
import type { Door } from "./stores.ts";
import { faultSchedule } from "./faults.ts";
import type { World } from "./world.ts";

export class Life implements LedgerLife {
  readonly number: number;
  readonly name: string;
  readonly clock: ProcessClock;
  /** For what is not the engine's. */
  readonly beside: Clock;
  readonly handed = new Map<number, Grant>();
  readonly batches: readonly Batch<SimItem>[];
  readonly engine: Batchwork;
  readonly door: Door;
  /** Handlers that run now. */
  readonly running = new Map<Delivery, Grant>();
  state: "up" | "stopping" | "stopped" = "up";
  /** True once `start()` has resolved. */
  started = false;
  /** Virtual time until which its storage fails every call. */
  outageUntil = 0;
  /** Virtual time since which it could do what it wants. */
  freeSince: number;
  /** Calls of `flush` and `drain` that have not ended. */
  readonly waiting = new Set<string>();
  readonly #world: World;

  constructor(world: World, number: number, name: string) {
    this.#world = world;
    this.number = number;
    this.name = name;
    this.clock = world.scheduler.clock();
    this.beside = this.clock.beside();
    this.freeSince = world.scheduler.now;
    const { plan, rng, ledger, mutant } = world;
    this.door = world.store.open();
    const opened = this.door.storage;
    const inner = mutant?.storage?.(opened, { clock: this.clock, rng }) ?? opened;
    const seen = new LedgerStorage(inner, ledger, this);
    const faulty = faultyStorage(seen, {
      clock: this.beside,
      schedule: world.schedule?.(world, this) ?? this.#randomFaults(),
    });
    if (plan.faults.deaf) faulty.changed = () => false;
    const storage = mutant?.engine?.(faulty) ?? faulty;
    this.engine = new Batchwork({
      storage,
      clock: this.clock,
      logger: noting((text) => world.ledger.note(name, text)),
      leaseMs: plan.leaseMs,
      heartbeatMs: plan.heartbeatMs,
      tickIntervalMs: plan.tickIntervalMs,
      pollMs: plan.pollMs,
      maxCrashes: plan.maxCrashes,
    });
    this.batches = plan.queues.map((queue) => this.#define(queue));
  }

  /** True when it takes calls. */
  get up(): boolean {
    return this.state === "up" && !this.clock.dead && !this.clock.paused;
  }

  #randomFaults(): FaultSchedule {
    const { plan, rng, control, scheduler } = this.#world;
    return faultSchedule(plan.faults, rng, control, {
      slowestMs: plan.leaseMs / 4,
      isDown: () => scheduler.now < this.outageUntil,
    });
  }

  #define(queue: QueuePlan): Batch<SimItem> {
    const { name, maxSize, maxBytes, maxWaitMs, groups, concurrency, retries, onFailure } = queue;
    return this.engine.batch<SimItem>({
      name,
      maxSize,
      maxWaitMs,
      concurrency,
      retries,
      onFailure,
      ...(maxBytes === Number.POSITIVE_INFINITY ? {} : { maxBytes }),
      ...(queue.timeout === undefined ? {} : { timeout: queue.timeout }),
      ...(queue.throttle === undefined ? {} : { throttle: queue.throttle }),
      ...(groups.length === 0
        ? {}
        : { groupBy: (item: SimItem) => item.group, groupConcurrency: queue.groupConcurrency }),
      ...(queue.maxPending === undefined ? {} : { maxPending: queue.maxPending }),
      ...(queue.deduplicates ? { deduplicateBy: keyOf } : {}),
      ...(queue.reorders
        ? { hooks: { beforeFlush: async (items) => reorder(this.#world, this, queue, items) } }
        : {}),
      deadLetter: {
        enabled: queue.onDead,
        onDead: (job) => {
          this.#world.told(this, job.items);
        },
      },
      handler: async (context) => play(this.#world, this, queue, context),
    });
  }
}
