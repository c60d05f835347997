/** The engine: one storage, the batches defined on it, and the loop that runs them. */
import { createCodec } from "../core/codec.ts";
import { BatchworkError } from "../core/errors.ts";
import { resolveBatchOptions, resolveEngineOptions } from "../core/options.ts";
import { resolvePoolOptions } from "../core/pool-options.ts";
import { memory } from "../storage/memory/index.ts";
import { Batch } from "./accumulator.ts";
import type { SchemaInput, SchemaOutput, StandardSchema } from "../core/schema.ts";
import type { BatchOptions, BatchworkOptions, SchemaBatchOptions } from "./batch-options.ts";
import { systemClock } from "./clock.ts";
import { Entrance } from "./entrance.ts";
import {
  Emitter,
  type BatchEvents,
  type EngineEvents,
  type Listener,
  type ListenerFailed,
} from "./events.ts";
import { Gate } from "./gate.ts";
import { HookCalls } from "./hooks.ts";
import type { ResultOf } from "./item-results.ts";
import { buildIterator } from "./iterator-build.ts";
import type { IteratorOptions } from "./iterator-options.ts";
import type { TableIterator } from "./iterator.ts";
import { consoleLogger } from "./logger.ts";
import { LoopRunner } from "./loop-runner.ts";
import { Queue } from "./queue.ts";
import { PoolBuilder } from "./pool-build.ts";
import type { PoolHandlers } from "./pool-handlers.ts";
import type { PoolOptions } from "./pool-options.ts";
import type { Pool } from "./pool.ts";
import { richFormat } from "./rich.ts";
import { Runner } from "./runner.ts";
import { waitWhile } from "./shutdown.ts";
import { Submissions } from "./submit.ts";
import type { Surroundings } from "./surroundings.ts";
import { Telemetry } from "./telemetry.ts";
import { Validation } from "./validation.ts";
import { buildWorker } from "./worker-build.ts";
import type { AsyncWorkerOptions, WorkerOptions } from "./worker-options.ts";
import type { Worker } from "./worker.ts";

/** Options of {@link Batchwork.stop}. */
export interface StopOptions {
  /** How long running handlers may take to end, ms. Default 30,000. */
  readonly graceMs?: number;
}

const GRACE_DEFAULT_MS = 30_000;

/**
 * Durable batching on one storage. Define batches with `batch()`, then `start()`; several engines,
 * in one process or in many, may share one database.
 */
export class Batchwork {
  readonly #around: Surroundings;
  readonly #concurrency: number;
  readonly #listenerFailed: ListenerFailed;
  readonly #durable: Runner;
  /** Runs iterators and workers; made when the first of them is defined. */
  #loops: LoopRunner | undefined;
  /** For `persist: false`; made when the first such batch is defined. */
  #ephemeral: Runner | undefined;
  readonly #batches = new Map<string, Batch<unknown>>();
  /** Names of pools. */
  readonly #pools = new Set<string>();
  readonly #poolBuilder = new PoolBuilder();
  readonly #workers = new Set<string>();
  /** Names of iterators. */
  readonly #iterators = new Set<string>();
  readonly #codec = createCodec(richFormat);
  #started: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;

  /** @throws `OPTION_INVALID` when an option is missing, unknown or outside its range */
  constructor(options: BatchworkOptions) {
    const resolved = resolveEngineOptions(options);
    this.#concurrency = resolved.concurrency;
    const clock = options.clock ?? systemClock;
    const logger = options.logger ?? consoleLogger;
    if (options.leaderElection !== undefined) {
      logger.debug("leaderElection has no effect: there is no leader, and none is needed.");
    }
    this.#listenerFailed = (event, error) => {
      logger.error("A listener failed; nothing else changes.", { event, error });
    };
    const events = new Emitter<EngineEvents>(this.#listenerFailed);
    this.#around = {
      clock,
      logger,
      gate: new Gate(),
      events,
      hookCalls: new HookCalls(logger),
      telemetry: new Telemetry(clock, events),
      leaseMs: resolved.leaseMs,
      heartbeatMs: resolved.heartbeatMs,
      tickIntervalMs: resolved.tickIntervalMs,
      pollMs: resolved.pollMs,
      maxCrashes: resolved.maxCrashes,
    };
    this.#durable = new Runner(options.storage, this.#around);
  }

  /**
   * Defines a batch. Adds work at once; the handler runs once the engine is started. Definitions
   * may also come later than `start()`.
   *
   * @throws `OPTION_INVALID`, `NAME_TAKEN`, `STOPPED`
   */
  batch<S extends StandardSchema, R = unknown>(
    options: SchemaBatchOptions<S, R>,
  ): Batch<SchemaInput<S>, SchemaOutput<S>, R>;
  batch<T, R = unknown>(options: BatchOptions<T, R>): Batch<T, T, R>;
  batch<T, R>(options: BatchOptions<T, R> & { readonly schema?: StandardSchema }): Batch<T, T, R> {
    this.#refuseWhenStopped();
    const resolved = resolveBatchOptions(options, { concurrency: this.#concurrency });
    const { name } = resolved;
    this.#refuseTaken(name);
    const { groupBy, deduplicateBy, handler, deadLetter, hooks = {}, schema } = options;
    const onDead = resolved.deadLetter.enabled ? deadLetter?.onDead : undefined;
    const grouped = groupBy !== undefined;
    const runner = resolved.persist ? this.#durable : this.#memoryRunner();
    const { payload } = runner.storage;
    const events = new Emitter<BatchEvents>(this.#listenerFailed, this.#around.events);
    const { beforeFlush } = hooks;
    const deduplicates = deduplicateBy !== undefined;
    const given = { ...resolved, grouped, deduplicates, handler, onDead, hooks, beforeFlush };
    const queue = new Queue(given, this.#codec, payload, events);
    runner.register(queue);
    const entrance = new Entrance({
      queue,
      groupBy,
      deduplicateBy,
      codec: this.#codec,
      payload,
    });
    const validation = schema === undefined ? undefined : new Validation(name, schema);
    const submissions = new Submissions<ResultOf<R>>(queue, runner, this.#around.clock);
    const batch = new Batch<T, T, R>(queue, runner, entrance, submissions, validation);
    this.#batches.set(name, batch as Batch<unknown>);
    return batch;
  }

  /**
   * Defines a pool: named handlers, each called for one task at a time, with bounded parallelism.
   * Takes tasks at once; they start once the engine is started.
   *
   * @throws `OPTION_INVALID`, `NAME_TAKEN`, `STOPPED`
   */
  pool<H extends PoolHandlers>(options: PoolOptions<H>): Pool<H> {
    this.#refuseWhenStopped();
    const resolved = resolvePoolOptions(options);
    this.#refuseTaken(resolved.name);
    const runner = resolved.persist ? this.#durable : this.#memoryRunner();
    const [around, codec, listenerFailed] = [this.#around, this.#codec, this.#listenerFailed];
    const environment = { runner, around, codec, listenerFailed };
    const pool = this.#poolBuilder.build(options, resolved, environment);
    this.#pools.add(resolved.name);
    return pool;
  }

  /**
   * Defines an iterator: jobs that walk through a table, a file or anything else, page by page.
   * Jobs run once the engine is started, in every process that defines it.
   *
   * @throws `OPTION_INVALID`, `NAME_TAKEN`, `STOPPED`
   */
  iterator<T = Record<string, unknown>>(options: IteratorOptions<T>): TableIterator<T> {
    this.#refuseWhenStopped();
    const [runner, around, codec] = [this.#durable, this.#around, this.#codec];
    const concurrency = this.#concurrency;
    const listenerFailed = this.#listenerFailed;
    const loops = this.#loopRunner();
    const environment = { runner, loops, around, codec, listenerFailed, concurrency };
    return buildIterator(options, environment, this.#iterators);
  }

  /**
   * Defines a worker: one loop over a table of yours, in all processes together, that is woken by
   * `ping()`. It looks for work once the engine is started, also for what was there before.
   *
   * @throws `OPTION_INVALID`, `NAME_TAKEN`, `STOPPED`
   */
  worker<B>(options: WorkerOptions<B>): Worker<B>;
  // oxlint-disable-next-line typescript/unified-signatures -- one signature would infer no tx
  worker<B>(options: AsyncWorkerOptions<B>): Worker<B>;
  worker<B>(options: WorkerOptions<B> | AsyncWorkerOptions<B>): Worker<B> {
    this.#refuseWhenStopped();
    const { storage } = this.#durable;
    const [around, codec, loops] = [this.#around, this.#codec, this.#loopRunner()];
    return buildWorker(options, { storage, around, codec, loops }, this.#workers);
  }

  /** The batches of this engine, oldest first; with `tag`, those that have it. */
  batches({ tag }: { readonly tag?: string } = {}): Batch<unknown>[] {
    const all = [...this.#batches.values()];
    return tag === undefined ? all : all.filter(({ tags }) => tags.includes(tag));
  }

  /**
   * Calls `listener` whenever `event` happens in this engine, to any of its definitions; as
   * `batch.on`. See {@link EngineEvents}.
   *
   * @returns a function that removes the listener
   * @throws `OPTION_INVALID` for no known event
   */
  on<K extends keyof EngineEvents>(event: K, listener: Listener<EngineEvents[K]>): () => void {
    return this.#around.events.on(event, listener);
  }

  /** Opens the storage and begins to hand batches over. Legal twice. */
  start(): Promise<void> {
    if (this.#stopped !== undefined) {
      const message = "The engine is stopped: make a new one.";
      return Promise.reject(new BatchworkError("STOPPED", message));
    }
    this.#started ??= this.#start();
    return this.#started;
  }

  /**
   * Takes no new items and claims no new batches, waits for running handlers (up to `graceMs`),
   * then aborts those that are left through `ctx.signal`, gives their batches back and closes the
   * storage. Nothing counts as an attempt. Items of `persist: false` batches are handed over first,
   * and tasks of such pools run that may start by then, within the same grace. Legal twice, and
   * before `start()`.
   */
  stop(options: StopOptions = {}): Promise<void> {
    this.#stopped ??= this.#stop(options.graceMs ?? GRACE_DEFAULT_MS);
    return this.#stopped;
  }

  /** One turn of the loop, at once: settles what ended and starts what is due. */
  async tick(): Promise<void> {
    const loops = this.#runners().flatMap((runner) => [runner, runner.companions]);
    await Promise.all(loops.map(async (loop) => loop.tick()));
  }

  /** The same as {@link Batchwork.stop}, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #refuseWhenStopped(): void {
    if (this.#stopped === undefined) return;
    throw new BatchworkError("STOPPED", "The engine is stopped: make a new one.");
  }

  #refuseTaken(name: string): void {
    if (!this.#batches.has(name) && !this.#pools.has(name)) return;
    const message = `A batch or pool named "${name}" is already defined in this engine.`;
    throw new BatchworkError("NAME_TAKEN", message, { field: "name", value: name });
  }

  #runners(): Runner[] {
    return this.#ephemeral === undefined ? [this.#durable] : [this.#ephemeral, this.#durable];
  }

  #loopRunner(): LoopRunner {
    if (this.#loops === undefined) {
      const loops = new LoopRunner(this.#durable, this.#around);
      this.#loops = loops;
      this.#durable.companions.add(loops);
      // A failed start is told to whoever called it.
      this.#started?.then(
        () => loops.start(),
        () => undefined,
      );
    }
    return this.#loops;
  }

  #memoryRunner(): Runner {
    if (this.#ephemeral === undefined) {
      this.#ephemeral = new Runner(memory({ payload: "reference" }), this.#around);
      // Opening memory cannot fail, and a failed start is told to whoever called it.
      this.#started?.then(
        async () => this.#ephemeral?.start(),
        () => undefined,
      );
    }
    return this.#ephemeral;
  }

  async #start(): Promise<void> {
    try {
      // Before the runners, so that no delivery goes unmeasured.
      this.#around.telemetry.start();
      await Promise.all(this.#runners().map(async (runner) => runner.start()));
    } catch (error) {
      this.#started = undefined;
      throw error;
    }
  }

  async #stop(graceMs: number): Promise<void> {
    const { clock } = this.#around;
    const endAt = clock.monotonicMs() + graceMs;
    const runners = this.#runners();
    // Closed before anything is awaited: an add after this call is refused.
    const committed = Promise.all(runners.map(async ({ intake }) => intake.close()));
    await this.#started?.catch(() => undefined);
    await committed;
    await this.#ephemeral?.empty(graceMs);
    const left = Math.max(0, endAt - clock.monotonicMs());
    await Promise.all(runners.map(async (runner) => runner.drainRuns(left)));
    await this.#waitForHooks(Math.max(0, endAt - clock.monotonicMs()));
    await Promise.all(runners.map(async (runner) => runner.close()));
    const { events, telemetry } = this.#around;
    telemetry.stop();
    if (events.hears("stopped")) events.emit("stopped", { graceMs });
  }

  async #waitForHooks(graceMs: number): Promise<void> {
    const { clock, hookCalls } = this.#around;
    const { ended: progressed } = hookCalls;
    const wake = { now: () => undefined };
    await waitWhile({ busy: async () => hookCalls.busy, graceMs, clock, progressed, wake });
  }
}
