/**
 * Many small handlers in few actions: tasks are stored like any work, and run in an action of the
 * app, next to each other, instead of one action each.
 */
import {
  createFunctionHandle,
  internalActionGeneric,
  type DefaultFunctionArgs,
  type FunctionReference,
  type FunctionVisibility,
  type GenericActionCtx,
  type GenericDataModel,
  type RegisteredAction,
} from "convex/server";
import { v, type ObjectType, type PropertyValidators, type Value } from "convex/values";
import { problemOf } from "../base/validate.js";
import { NonRetryableError } from "../pool/errors.js";
import { Executor } from "../pool/execute.js";
import { InspectablePool } from "./inspectable-pool.js";
import type { RunMutationCtx, RunQueryCtx } from "./contexts.js";
import { retryOf, taskOptions, type Task } from "./work-calls.js";
import type { WorkpoolComponent } from "./workpool.js";
import type { WorkId, WorkStatus } from "./work-id.js";
import type { EnqueueOptions, RetryOption, WorkpoolRetryOptions } from "./work-options.js";
import type { LogLevel } from "../base/log.js";

export interface BatchWorkpoolOptions extends WorkpoolRetryOptions {
  /** Executors at a time. Fewer are started when fewer are needed. Default: 10. */
  maxWorkers?: number;
  /** Handlers that run at a time in one executor. Default: 1000. */
  maxConcurrencyPerWorker?: number;
  /** How long an executor takes new tasks, ms; another one follows. Default: 300,000. */
  claimDeadlineMs?: number;
  /** How long tasks that failed for good are kept, ms. 0: not at all. Default: 7 days. */
  deadLetterTtl?: number;
  /** Default: the component's `LOG_LEVEL`, else "REPORT". */
  logLevel?: LogLevel;
  /** Accepted, without effect: no claim ends by time, the scheduler tells when a run is over. */
  claimTimeoutMs?: number;
  /** Accepted, without effect: an executor is told of new tasks, and does not poll. */
  pollIntervalMs?: number;
  /** Accepted, without effect: an executor ends with its last task. */
  softDeadlineMs?: number;
  /** Accepted, without effect: payloads in flight are limited by their bytes. */
  maxHeapMB?: number;
}

/** The id of a task: an id of work like any other. */
export type BatchTaskId = WorkId;

/** One task of `enqueueBatch`. */
export interface BatchTask {
  readonly name: string;
  readonly args: DefaultFunctionArgs;
  readonly options?: RetryOption & EnqueueOptions;
}

type Ctx = GenericActionCtx<GenericDataModel>;

type Handler = (ctx: Ctx, args: DefaultFunctionArgs) => Promise<unknown>;

const WORKERS_DEFAULT = 10;
const CONCURRENCY_DEFAULT = 1000;
const CLAIM_DEADLINE_MS = 300_000;

export class BatchWorkpool extends InspectablePool {
  readonly options: BatchWorkpoolOptions;
  readonly #handlers = new Map<string, Handler>();
  #executor: FunctionReference<"action", FunctionVisibility> | undefined;

  constructor(component: WorkpoolComponent, options: BatchWorkpoolOptions = {}) {
    super(component);
    this.options = options;
  }

  /**
   * Registers a handler by its name, and returns it as an action. Its arguments are checked before
   * it is called; a task with others fails for good. The module that calls this has to
   * be imported by the one that exports `executor()`. Throws when the name is taken.
   */
  action<Args extends PropertyValidators, Returns extends Value | void>(
    name: string,
    definition: { args: Args; handler: (ctx: Ctx, args: ObjectType<Args>) => Promise<Returns> },
  ): RegisteredAction<"internal", ObjectType<Args>, Promise<Returns>> {
    if (this.#handlers.has(name)) {
      throw new Error(`A handler named "${name}" exists: give each a name of its own.`);
    }
    const args = v.object(definition.args);
    const handler = definition.handler as unknown as Handler;
    this.#handlers.set(name, (ctx, given) => {
      const problem = problemOf(args, given, "args");
      if (problem === null) return handler(ctx, given);
      throw new NonRetryableError(`"${name}" was enqueued with other arguments: ${problem}.`);
    });
    const registered: unknown = internalActionGeneric(definition as never);
    return registered as RegisteredAction<"internal", ObjectType<Args>, Promise<Returns>>;
  }

  /** The action that runs the handlers. Export it, and pass its reference to `setExecutorRef`. */
  executor(): RegisteredAction<"internal", { token: string; upTo: number }, Promise<null>> {
    return internalActionGeneric({
      args: { token: v.string(), upTo: v.number() },
      returns: v.null(),
      handler: async (ctx, { token, upTo }) => {
        const { runs } = this.component;
        const executor = new Executor(
          {
            take: (args) => ctx.runMutation(runs.take, args) as never,
            waiting: (args) => ctx.runQuery(runs.waiting, args),
            settle: (args) => ctx.runMutation(runs.settle, args),
            call: (fn, args) => this.#run(ctx, fn.handle, args),
          },
          token,
          this.options.claimDeadlineMs ?? CLAIM_DEADLINE_MS,
        );
        await executor.run(upTo);
        return null;
      },
    });
  }

  async #run(ctx: Ctx, name: string, args: object): Promise<Value | undefined> {
    const handler = this.#handlers.get(name);
    if (handler === undefined) {
      const known = [...this.#handlers.keys()].join(", ");
      throw new Error(
        `No handler is named "${name}" (known: ${known}). ` +
          "Import the module that registers it where executor() is exported.",
      );
    }
    return (await handler(ctx, args as DefaultFunctionArgs)) as Value | undefined;
  }

  /** Which action runs the handlers: `internal.<module>.<executor>`. */
  setExecutorRef(reference: FunctionReference<"action", FunctionVisibility>): void {
    this.#executor = reference;
  }

  /** Runs the handler of that name. Returns the id of the task. */
  async enqueue(
    ctx: RunMutationCtx,
    name: string,
    args: DefaultFunctionArgs,
    options: RetryOption & EnqueueOptions = {},
  ): Promise<BatchTaskId> {
    const [id] = await this.enqueueBatch(ctx, [{ name, args, options }]);
    return id as BatchTaskId;
  }

  /** Runs many handlers. Returns the ids of the tasks in their order. */
  async enqueueBatch(ctx: RunMutationCtx, tasks: readonly BatchTask[]): Promise<BatchTaskId[]> {
    const prepared: Task[] = [];
    let last: BatchTask | undefined;
    for (const task of tasks) {
      const current = prepared.at(-1);
      // Neighbours that differ in their arguments only share a payload row.
      if (current !== undefined && last?.name === task.name && last.options === task.options) {
        current.items.push(task.args);
      } else prepared.push(await this.#taskOf(task));
      last = task;
    }
    return this.#send(ctx, prepared);
  }

  /** The same, with `onComplete` as a function handle. */
  async enqueueByHandle(
    ctx: RunMutationCtx,
    name: string,
    args: DefaultFunctionArgs,
    options: RetryOption & { onComplete?: { fnHandle: string; context?: Value } } = {},
  ): Promise<BatchTaskId> {
    const { onComplete, ...rest } = options;
    const task = await this.#taskOf({ name, args, options: rest });
    if (onComplete !== undefined) {
      task.onComplete = { handle: onComplete.fnHandle };
      if (onComplete.context !== undefined) task.contexts = [onComplete.context];
    }
    const [id] = await this.#send(ctx, [task]);
    return id as BatchTaskId;
  }

  /** Where the task is. */
  status(ctx: RunQueryCtx, id: BatchTaskId): Promise<WorkStatus> {
    return ctx.runQuery(this.component.lib.status, { id });
  }

  /** Cancels a task that waits; one that runs is not tried again. */
  async cancel(ctx: RunMutationCtx, id: BatchTaskId): Promise<void> {
    await ctx.runMutation(this.component.lib.cancel, { id });
  }

  /** Whether this module knows a handler of that name. */
  isRegistered(name: string): boolean {
    return this.#handlers.has(name);
  }

  async #taskOf({ name, args, options = {} }: BatchTask): Promise<Task> {
    const retry = retryOf(this.options, options.retry);
    const { deadLetterTtl } = this.options;
    return {
      ...(deadLetterTtl === undefined ? {} : { deadMs: deadLetterTtl }),
      fn: { type: "inline", handle: name, name: options.name ?? name },
      items: [args],
      ...(await taskOptions(options)),
      ...(retry === undefined ? {} : { retry }),
    };
  }

  async #send(ctx: RunMutationCtx, tasks: Task[]): Promise<BatchTaskId[]> {
    const { maxWorkers = WORKERS_DEFAULT, logLevel } = this.options;
    const slots = this.options.maxConcurrencyPerWorker ?? CONCURRENCY_DEFAULT;
    const declared = {
      maxParallelism: maxWorkers * slots,
      ...(logLevel === undefined ? {} : { logLevel }),
    };
    const executor =
      this.#executor === undefined
        ? {}
        : { executor: { handle: await createFunctionHandle(this.#executor), slots } };
    const args = { declared, tasks, ...executor };
    return (await ctx.runMutation(this.component.lib.enqueue, args)) as BatchTaskId[];
  }
}
