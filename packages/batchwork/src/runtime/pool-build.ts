/** Puts the parts of a pool together, and its loop beside that of the batches. */
import type { Codec } from "../core/codec.ts";
import { resolveBatchOptions } from "../core/options.ts";
import type { ResolvedPoolOptions } from "../core/pool-options.ts";
import type { StoredTask } from "../core/task.ts";
import { Entrance } from "./entrance.ts";
import { Emitter, type BatchEvents, type ListenerFailed } from "./events.ts";
import { Handlers, type PoolHandlers } from "./pool-handlers.ts";
import { TaskIntake } from "./pool-intake.ts";
import type { PoolOptions } from "./pool-options.ts";
import { PoolRunner } from "./pool-runner.ts";
import { Pool } from "./pool.ts";
import { Pressure, processMeasurements } from "./pressure.ts";
import { Queue, type QueueOptions } from "./queue.ts";
import type { Runner } from "./runner.ts";
import type { Surroundings } from "./surroundings.ts";
import { callbacksName, completionHandler, COMPLETIONS_MAX } from "./task-callbacks.ts";
import { TaskQueue } from "./task-queue.ts";
import { TaskResults } from "./task-results.ts";

/** Batches of completions that are told at a time, in this process. */
const CALLBACK_BATCHES = 2;

/** Who is told is told until it worked: a second between two attempts at first, an hour at last. */
const CALLBACK_RETRIES = {
  max: Number.MAX_SAFE_INTEGER,
  strategy: "exponential",
  baseDelay: 1000,
  maxDelay: 60 * 60 * 1000,
  jitter: 0.5,
} as const;

/** What a pool is built with. */
export interface PoolEnvironment {
  readonly runner: Runner;
  readonly around: Surroundings;
  readonly codec: Codec;
  readonly listenerFailed: ListenerFailed;
}

/** Builds the pools of an engine. */
export class PoolBuilder {
  readonly #loops = new Map<Runner, PoolRunner>();
  readonly #results = new Map<TaskQueue, TaskResults>();

  build<H extends PoolHandlers>(
    options: PoolOptions<H>,
    resolved: ResolvedPoolOptions,
    environment: PoolEnvironment,
  ): Pool<H> {
    const { runner, around, codec, listenerFailed } = environment;
    const { payload } = runner.storage;
    const { name } = resolved;
    const handlers = new Handlers(name, options.handlers);
    const onDead = resolved.deadLetter.enabled ? options.deadLetter?.onDead : undefined;
    const shared = { ...queueOptions(name), ...sharedOf(resolved), onDead } as QueueOptions;
    const events = new Emitter<BatchEvents>(listenerFailed, around.events);
    const queue = new Queue(shared, codec, payload, events);
    const callbacks = callbackQueue(options, queue, environment);
    const pressure = new Pressure(around.clock, resolved, processMeasurements);
    const parts = { options: resolved, queue, callbacks, handlers, codec, payload, pressure };
    const tasks = new TaskQueue(parts);
    const loop = this.#loopOf(runner, around);
    const results = new TaskResults(tasks, runner);
    this.#results.set(tasks, results);
    loop.add(tasks);
    if (callbacks !== undefined) runner.register(callbacks);
    runner.register(queue, loop);
    const entrance = new Entrance<StoredTask>({
      queue,
      groupBy: undefined,
      deduplicateBy: undefined,
      codec,
      payload,
    });
    const { clock } = around;
    return new Pool<H>({
      tasks,
      runner,
      results,
      intake: new TaskIntake({
        pool: tasks,
        runner,
        entrance,
        clock,
        committing: (route) => loop.committing(route),
      }),
      after: (ms, fn) => clock.after(ms, fn),
      wake: () => {
        loop.look();
        runner.wake();
      },
    });
  }

  #loopOf(runner: Runner, around: Surroundings): PoolRunner {
    const known = this.#loops.get(runner);
    if (known !== undefined) return known;
    const loop = new PoolRunner(runner, around, (pool, ended) => {
      this.#results.get(pool)?.settled(ended);
      if (pool.queue.onDead === undefined) return;
      if (ended.some(({ verdict }) => verdict.kind === "dead")) runner.buried();
    });
    this.#loops.set(runner, loop);
    runner.companions.add(loop);
    return loop;
  }
}

/** The queue of batches that is told when tasks end; `undefined` where nobody wants to know. */
function callbackQueue<H extends PoolHandlers>(
  { onComplete, onCompleteBatch }: PoolOptions<H>,
  tasks: Queue,
  { codec, runner, listenerFailed }: PoolEnvironment,
): Queue | undefined {
  if (onComplete === undefined && onCompleteBatch === undefined) return undefined;
  const handler = completionHandler({ onComplete, onCompleteBatch }, (payload) =>
    tasks.decode([payload]),
  );
  const options = {
    ...queueOptions(tasks.name),
    name: callbacksName(tasks.name),
    handler,
    retries: CALLBACK_RETRIES,
    onFailure: "bisect",
  } as QueueOptions;
  // Nobody listens: what a user hears of are the tasks.
  const events = new Emitter<BatchEvents>(listenerFailed);
  return new Queue(options, codec, runner.storage.payload, events);
}

function queueOptions(name: string): QueueOptions {
  const handler = (): void => undefined;
  const given = { name, maxSize: COMPLETIONS_MAX, maxWaitMs: 0, handler };
  const resolved = resolveBatchOptions(given, { concurrency: CALLBACK_BATCHES });
  return {
    ...resolved,
    grouped: false,
    deduplicates: false,
    handler,
    onDead: undefined,
    hooks: {},
    beforeFlush: undefined,
  };
}

/** What a pool and its queue have in common. */
function sharedOf(options: ResolvedPoolOptions): Partial<QueueOptions> {
  const { throttle, maxPending, version, keyTtlMs, tags } = options;
  return { throttle, maxPending, version, keyTtlMs, tags };
}
