/** The pool, for apps: bounded parallelism for actions, mutations and queries. */
import {
  createFunctionHandle,
  type DefaultFunctionArgs,
  type FunctionReference,
  type FunctionType,
  type FunctionVisibility,
  type GenericDataModel,
  type RegisteredMutation,
} from "convex/server";
import type { Infer, VAny } from "convex/values";
import type { ComponentApi } from "../pool/_generated/component.js";
import type { RunActionCtx, RunMutationCtx, RunQueryCtx } from "./contexts.js";
import { InspectablePool } from "./inspectable-pool.js";
import { poolCtx, pollResult, type PoolCtx } from "./pool-ctx.js";
import { defineOnComplete, type OnCompleteDefinition } from "./on-complete.js";
import type { AnyValidator, OnCompleteArgs, RunResult, WorkId, WorkStatus } from "./work-id.js";
import {
  callsOf,
  declarationsOf,
  nameOf,
  retryOf,
  taskOptions,
  type AnyReference,
  type Task,
} from "./work-calls.js";
import type { EnqueueOptions, RetryOption, WorkpoolOptions } from "./work-options.js";

/** `components.<name>` of an installed pool. */
export type WorkpoolComponent = ComponentApi;

type Reference<
  Type extends FunctionType,
  Args extends DefaultFunctionArgs,
  Returns,
> = FunctionReference<Type, FunctionVisibility, Args, NoInfer<Returns>>;

interface Callee {
  readonly type: Task["fn"]["type"];
  readonly fn: AnyReference;
  readonly again?: Pick<Task, "retry" | "once" | "keepMs">;
}

/** How long the results of `pool.ctx` are kept, ms, when `ttl` does not say. */
const KEPT_MS = 600_000;

export class Workpool extends InspectablePool {
  readonly options: WorkpoolOptions;

  /** Each installed instance (`app.use(pool, { name })`) is a pool; two objects of it are one. */
  constructor(component: WorkpoolComponent, options: WorkpoolOptions = {}) {
    super(component, options.pool);
    this.options = options;
  }

  /** Runs an action. Returns the id of the work. */
  async enqueueAction<Args extends DefaultFunctionArgs, Context, ReturnType>(
    ctx: RunMutationCtx,
    fn: Reference<"action", Args, ReturnType>,
    fnArgs: NoInfer<Args>,
    options?: RetryOption & EnqueueOptions<Context, ReturnType>,
  ): Promise<WorkId> {
    const [id] = await this.enqueueActionBatch(ctx, fn, [fnArgs], options);
    return id as WorkId;
  }

  /** Runs an action once per arguments. Returns the ids in the order of `argsArray`. */
  enqueueActionBatch<Args extends DefaultFunctionArgs, Context, ReturnType>(
    ctx: RunMutationCtx,
    fn: Reference<"action", Args, ReturnType>,
    argsArray: NoInfer<Args>[],
    options: RetryOption & EnqueueOptions<Context, ReturnType> = {},
  ): Promise<WorkId[]> {
    const retry = retryOf(this.options, options.retry);
    const again = retry === undefined ? { once: true } : { retry };
    return this.#enqueue(ctx, { type: "action", fn, again }, argsArray, options);
  }

  /**
   * Runs a mutation, exactly once. One that throws is not tried again: it is deterministic, and
   * conflicts are retried by Convex.
   */
  async enqueueMutation<Args extends DefaultFunctionArgs, Context, ReturnType>(
    ctx: RunMutationCtx,
    fn: Reference<"mutation", Args, ReturnType>,
    fnArgs: NoInfer<Args>,
    options?: EnqueueOptions<Context, ReturnType>,
  ): Promise<WorkId> {
    const [id] = await this.enqueueMutationBatch(ctx, fn, [fnArgs], options);
    return id as WorkId;
  }

  /** Runs a mutation once per arguments. Returns the ids in the order of `argsArray`. */
  enqueueMutationBatch<Args extends DefaultFunctionArgs, Context, ReturnType>(
    ctx: RunMutationCtx,
    fn: Reference<"mutation", Args, ReturnType>,
    argsArray: NoInfer<Args>[],
    options: EnqueueOptions<Context, ReturnType> = {},
  ): Promise<WorkId[]> {
    return this.#enqueue(ctx, { type: "mutation", fn }, argsArray, options);
  }

  /** Runs a query, and hands its result to `onComplete`. */
  async enqueueQuery<Args extends DefaultFunctionArgs, Context, ReturnType>(
    ctx: RunMutationCtx,
    fn: Reference<"query", Args, ReturnType>,
    fnArgs: NoInfer<Args>,
    options?: EnqueueOptions<Context, ReturnType>,
  ): Promise<WorkId> {
    const [id] = await this.enqueueQueryBatch(ctx, fn, [fnArgs], options);
    return id as WorkId;
  }

  /** Runs a query once per arguments. Returns the ids in the order of `argsArray`. */
  enqueueQueryBatch<Args extends DefaultFunctionArgs, Context, ReturnType>(
    ctx: RunMutationCtx,
    fn: Reference<"query", Args, ReturnType>,
    argsArray: NoInfer<Args>[],
    options: EnqueueOptions<Context, ReturnType> = {},
  ): Promise<WorkId[]> {
    return this.#enqueue(ctx, { type: "query", fn }, argsArray, options);
  }

  /** Where the work is. Throws for an id that is not this pool's, nor of `legacy`. */
  status(ctx: RunQueryCtx, id: WorkId): Promise<WorkStatus> {
    const { legacy } = this.options;
    const home = legacy !== undefined && !isOwn(id) ? legacy : this.component;
    return ctx.runQuery(home.lib.status, { id });
  }

  /** Where each of them is, in the order of `ids`. */
  statusBatch(ctx: RunQueryCtx, ids: WorkId[]): Promise<WorkStatus[]> {
    if (this.options.legacy === undefined || ids.every(isOwn)) {
      return ctx.runQuery(this.component.lib.statusBatch, { ids });
    }
    return Promise.all(ids.map((id) => this.status(ctx, id)));
  }

  /**
   * Waits for the end of the work. In actions only, and only for work whose result is kept: with
   * `ttl`, or of `pool.ctx`. Throws `NOT_KEPT` when there is no result.
   */
  pollResult(ctx: RunActionCtx, id: WorkId): Promise<RunResult> {
    return pollResult(ctx, this.component, id);
  }

  /**
   * The context of an action, with `runQuery`, `runMutation`, `runAction` and `scheduler` going
   * through the pool.
   */
  ctx<Ctx extends RunActionCtx>(ctx: Ctx): PoolCtx<Ctx> {
    return poolCtx(this, ctx);
  }

  /**
   * Cancels work: what waits ends as canceled, what runs ends as it ends, and is not tried again.
   */
  async cancel(ctx: RunMutationCtx, id: WorkId): Promise<void> {
    const { legacy } = this.options;
    const home = legacy !== undefined && !isOwn(id) ? legacy : this.component;
    await ctx.runMutation(home.lib.cancel, { id });
  }

  /** Cancels everything enqueued so far, `limit` rows at a time (default 64). */
  async cancelAll(ctx: RunMutationCtx, options: { limit?: number } = {}): Promise<void> {
    await ctx.runMutation(this.component.lib.cancelAll, options);
  }

  /** A mutation to pass as `onComplete`, with `context` and `returnValue` checked. */
  defineOnComplete<
    DataModel extends GenericDataModel,
    Context extends AnyValidator = VAny<unknown, "optional">,
    Returns extends AnyValidator = VAny<unknown, "optional">,
  >(
    definition: OnCompleteDefinition<DataModel, Context, Returns>,
  ): RegisteredMutation<"internal", OnCompleteArgs<Infer<Context>, Infer<Returns>>, null> {
    return defineOnComplete(definition);
  }

  /**
   * Enqueues one call whose kind is known at run time only, and keeps its result for `ttl`, ten
   * minutes by default.
   * @internal
   */
  async enqueueAny(
    ctx: RunMutationCtx,
    type: Task["fn"]["type"],
    fn: AnyReference,
    args: DefaultFunctionArgs,
    options: EnqueueOptions,
  ): Promise<WorkId> {
    const again = { once: true, keepMs: this.options.ttl ?? KEPT_MS };
    const [id] = await this.#enqueue(ctx, { type, fn, again }, [args], options);
    return id as WorkId;
  }

  async #enqueue<Context, ReturnType>(
    ctx: RunMutationCtx,
    { type, fn, again }: Callee,
    argsArray: DefaultFunctionArgs[],
    options: EnqueueOptions<Context, ReturnType>,
  ): Promise<WorkId[]> {
    const { maxParallelism, logLevel, pool, ttl, deadLetterTtl, actionTimeoutMs } = this.options;
    const declared = {
      ...(maxParallelism === undefined ? {} : { maxParallelism }),
      ...(logLevel === undefined ? {} : { logLevel }),
    };
    const handle = await createFunctionHandle(fn);
    const timeout =
      actionTimeoutMs === undefined || type === "mutation" ? {} : { timeoutMs: actionTimeoutMs };
    const task = {
      fn: { type, handle, name: options.name ?? nameOf(fn), ...timeout },
      ...(await taskOptions(options)),
      ...(pool === undefined ? {} : { pool }),
      ...(ttl === undefined ? {} : { keepMs: ttl }),
      ...(deadLetterTtl === undefined ? {} : { deadMs: deadLetterTtl }),
      ...again,
    };
    const ids: string[] = [];
    for (const items of callsOf(argsArray)) {
      const args = { declared, ...declarationsOf(this.options), tasks: [{ ...task, items }] };
      ids.push(...(await ctx.runMutation(this.component.lib.enqueue, args)));
    }
    return ids as WorkId[];
  }
}

/** Ids of `@convex-dev/workpool` have no place in them. */
function isOwn(id: string): boolean {
  return id.includes(":");
}
