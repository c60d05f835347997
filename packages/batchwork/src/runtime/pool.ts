/** The pool primitive: runs named tasks with bounded parallelism, and keeps how they ended. */
import { BatchworkError } from "../core/errors.ts";
import { WAIT_MS_MAX } from "../core/limits.ts";
import type { StoredTask, TaskResult } from "../core/task.ts";
import type { CancelAnswer, FoundTask } from "../storage/pools.ts";
import { DeadLetters } from "./dead-letters.ts";
import type { BatchEvents, Listener } from "./events.ts";
import { tellBatch } from "./observation.ts";
import { PoolConfig } from "./pool-config.ts";
import { poolContext, type PoolCtx } from "./pool-ctx.ts";
import { explainPool, statsOf, type PoolExplanation, type PoolStats } from "./pool-explain.ts";
import type { HandlerName, PoolHandlers, TaskArgs, TaskReturn } from "./pool-handlers.ts";
import type { TaskIntake } from "./pool-intake.ts";
import type { EnqueueBatchOptions, EnqueueOptions, ResultOptions } from "./pool-options.ts";
import type { Runner } from "./runner.ts";
import type { TaskResults, Timeout } from "./task-results.ts";
import type { TaskQueue } from "./task-queue.ts";

declare const RETURNS: unique symbol;

/** The id of a task: text, with the type of what its handler returns. */
export type TaskId<R = unknown> = string & { readonly [RETURNS]?: R };

/** Where a task is; `"unknown"` too once its result is kept no longer. */
export type TaskStatus = FoundTask["status"];

/** Arguments may be left out where the handler takes none. */
type Rest<A, O> = undefined extends A ? [args?: A, options?: O] : [args: A, options?: O];

/** Tasks that `cancelAll` ends in one transaction: those of so many slices. */
const CANCEL_SLICES = 200;

/** What a {@link Pool} is made of. */
export interface PoolParts {
  readonly tasks: TaskQueue;
  readonly runner: Runner;
  readonly intake: TaskIntake;
  readonly results: TaskResults;
  readonly after: Timeout;
  /** Has the loop look for work at once, here and elsewhere. */
  readonly wake: () => void;
}

/** A pool in an engine: the handle that `bw.pool()` returns. */
export class Pool<H extends PoolHandlers> {
  readonly name: string;
  readonly tags: readonly string[];
  /** Tasks that have failed for good. */
  readonly deadLetters: DeadLetters<StoredTask>;
  /** What can be changed while the pool runs: `maxParallelism`. */
  readonly config: PoolConfig;
  readonly #tasks: TaskQueue;
  readonly #runner: Runner;
  readonly #intake: TaskIntake;
  readonly #results: TaskResults;
  readonly #after: Timeout;
  readonly #wake: () => void;

  /** Made by `bw.pool()`. */
  constructor({ tasks, runner, intake, results, after, wake }: PoolParts) {
    this.name = tasks.name;
    this.tags = tasks.options.tags;
    this.#tasks = tasks;
    this.#runner = runner;
    this.#intake = intake;
    this.#results = results;
    this.#after = after;
    this.#wake = wake;
    this.config = new PoolConfig(tasks, runner, wake);
    const ready = async (): Promise<void> => runner.ready();
    this.deadLetters = new DeadLetters(runner.storage, tasks.queue, ready, wake);
  }

  /**
   * Stores one task. Resolves with its id after the commit that carries it; all calls of a process
   * that arrive while a commit is under way share the next one.
   *
   * @throws `QUEUE_FULL` (`maxPending`), `CALL_TOO_LARGE` (it never fits), `HANDLER_UNKNOWN`,
   * `ITEM_INVALID` (a `SchemaError` where the schema says so), `ITEM_TOO_LARGE`, `OPTION_INVALID`
   * (nothing is stored), `STOPPED`, `STORAGE_BUSY`, `STORAGE_FAILED`; with `tx` and
   * `idempotencyKey` as `batch.add`
   */
  async enqueue<N extends HandlerName<H>>(
    name: N,
    ...[args, options]: Rest<TaskArgs<H[N]>, EnqueueOptions>
  ): Promise<TaskId<TaskReturn<H[N]>>> {
    if (options === undefined) return this.#intake.one(name, args);
    const [id] = await this.#intake.many(name, [args], forAll(options));
    return id as string;
  }

  /**
   * Stores tasks of one handler in one commit: all of them or none. Resolves with their ids, in
   * order. At most 10,000 tasks and 4 MiB a call.
   *
   * @throws as `enqueue`, and `CALL_TOO_LARGE`
   */
  async enqueueBatch<N extends HandlerName<H>>(
    name: N,
    argsArray: readonly TaskArgs<H[N]>[],
    options: EnqueueBatchOptions<TaskArgs<H[N]>> = {},
  ): Promise<TaskId<TaskReturn<H[N]>>[]> {
    return this.#intake.many(name, argsArray, options);
  }

  /**
   * Stores one task inside a transaction that the caller holds open, before it returns. Needs the
   * storage open, as `batch.addSync`.
   *
   * @throws as `batch.addSync` and `enqueue`, synchronously
   */
  enqueueSync<N extends HandlerName<H>>(
    name: N,
    args: TaskArgs<H[N]>,
    options: EnqueueOptions & { readonly tx: unknown },
  ): TaskId<TaskReturn<H[N]>> {
    return this.#intake.manySync(name, [args], forAll(options))[0] as string;
  }

  /**
   * How a task ended, once it has: `{ kind: "success", returnValue }`, `{ kind: "failed", error }`
   * or `{ kind: "canceled" }`. In any process, for as long as the result is kept (`ttl`). Not to be
   * awaited by a task of the same pool, which holds a place that the other one may need.
   *
   * @throws `RESULT_TIMEOUT` (the task goes on), `RESULT_UNKNOWN`, `STOPPED`, `OPTION_INVALID`
   */
  async result<R>(id: TaskId<R>, options: ResultOptions = {}): Promise<TaskResult<R>> {
    const { timeoutMs } = options;
    if (timeoutMs !== undefined && !(timeoutMs >= 0 && timeoutMs <= WAIT_MS_MAX)) {
      const message = `timeoutMs must be from 0 to ${WAIT_MS_MAX} (ms), not ${timeoutMs}.`;
      throw new BatchworkError("OPTION_INVALID", message, { field: "timeoutMs", value: timeoutMs });
    }
    return (await this.#results.wait(id, timeoutMs, this.#after)) as TaskResult<R>;
  }

  /** Where a task is, in whichever process. */
  async status(id: string): Promise<TaskStatus> {
    const [status] = await this.statusBatch([id]);
    return status as TaskStatus;
  }

  /** Where tasks are, in the order of `ids`, in one look. */
  async statusBatch(ids: readonly string[]): Promise<TaskStatus[]> {
    return (await this.#results.find(ids)).map(({ status }) => status);
  }

  /**
   * Cancels a task: `"canceled"` when it had not started, and never will; `"canceling"` when it
   * runs: its `ctx.signal` aborts within a heartbeat, and how it ends does not count. Either way it
   * is over at once, and `onComplete` is called. `"finished"` when it was over before.
   */
  async cancel(id: string): Promise<CancelAnswer> {
    const [answer] = await this.cancelBatch([id]);
    return answer as CancelAnswer;
  }

  /** The same for many, in the order of `ids`, in one transaction. */
  async cancelBatch(ids: readonly string[]): Promise<CancelAnswer[]> {
    await this.#runner.ready();
    const answers = await this.#runner.storage.pools.cancel(this.#tasks.id, ids);
    this.#canceled();
    return answers;
  }

  /** Cancels all tasks that are stored now and not over. Resolves with how many. */
  async cancelAll(): Promise<number> {
    await this.#runner.intake.settled();
    await this.#runner.ready();
    for (let count = 0; ;) {
      const { pools } = this.#runner.storage;
      const { canceled, more } = await pools.cancelAll(this.#tasks.id, CANCEL_SLICES);
      count += canceled;
      this.#canceled();
      if (!more) return count;
    }
  }

  /** Others may start, and there may be room for those that wait to be stored. */
  #canceled(): void {
    this.#wake();
    this.#runner.progressed.notify();
  }

  /** Starts no task any more, in every process, also after a restart. Tasks are still taken in. */
  async pause(): Promise<void> {
    await this.#runner.ready();
    await this.#runner.storage.setPaused([this.#tasks.id], true);
    tellBatch(this.#tasks.queue, "paused");
  }

  /** The inverse of `pause`. */
  async resume(): Promise<void> {
    await this.#runner.ready();
    await this.#runner.storage.setPaused([this.#tasks.id], false);
    tellBatch(this.#tasks.queue, "resumed");
    this.#wake();
  }

  /** Counts over all processes. */
  async stats(): Promise<PoolStats> {
    return statsOf(this.#runner, this.#tasks);
  }

  /** Why what waits has not started yet, and when it will. */
  async explain(): Promise<PoolExplanation> {
    return explainPool(this.#runner, this.#tasks);
  }

  /**
   * Calls `listener` whenever `event` happens to a task in this process, as `batch.on`. A task is a
   * delivery of one item: its id is `batchId`, its serial key `groupKey`.
   *
   * @throws `OPTION_INVALID` for no known event
   */
  on<K extends keyof BatchEvents>(event: K, listener: Listener<BatchEvents[K]>): () => void {
    return this.#tasks.events.on(event, listener);
  }

  /**
   * A context whose calls go through this pool: everything of `ctx`, and `run(name, args)`, which
   * resolves with what the task returned or throws what it failed with, and a `scheduler` with
   * `runAfter`, `runAt` and `cancel`.
   */
  ctx<C extends object>(ctx: C): PoolCtx<C, H> {
    return poolContext(this, ctx);
  }
}

function forAll({ idempotencyKey, ...options }: EnqueueOptions): EnqueueBatchOptions<never> {
  return idempotencyKey === undefined
    ? options
    : { ...options, idempotencyKey: (): string => idempotencyKey };
}
