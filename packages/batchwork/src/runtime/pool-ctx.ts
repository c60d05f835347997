/** A context whose calls go through a pool. */
import { BatchworkError, revivedError } from "../core/errors.ts";
import type { HandlerName, PoolHandlers, TaskArgs, TaskReturn } from "./pool-handlers.ts";
import type { EnqueueOptions } from "./pool-options.ts";
import type { Pool, TaskId } from "./pool.ts";

/** What {@link PoolCtx} has besides what it was made of. */
export interface PoolCalls<H extends PoolHandlers> {
  /**
   * Runs a task in the pool and waits for it: resolves with what it returned.
   *
   * @throws what it failed with; `CANCELED`
   */
  readonly run: <N extends HandlerName<H>>(
    name: N,
    args: TaskArgs<H[N]>,
    options?: Omit<EnqueueOptions, "idempotencyKey">,
  ) => Promise<TaskReturn<H[N]>>;
  readonly scheduler: {
    /** Runs a task in so many ms, or later. Resolves with its id. */
    readonly runAfter: <N extends HandlerName<H>>(
      delayMs: number,
      name: N,
      args: TaskArgs<H[N]>,
    ) => Promise<TaskId<TaskReturn<H[N]>>>;
    /** Runs a task at that time (ms since the epoch, or a `Date`), or later. */
    readonly runAt: <N extends HandlerName<H>>(
      at: number | Date,
      name: N,
      args: TaskArgs<H[N]>,
    ) => Promise<TaskId<TaskReturn<H[N]>>>;
    readonly cancel: (id: string) => Promise<void>;
  };
}

/** `C` with the calls of a pool. */
export type PoolCtx<C extends object, H extends PoolHandlers> = Omit<C, keyof PoolCalls<H>> &
  PoolCalls<H>;

export function poolContext<C extends object, H extends PoolHandlers>(
  pool: Pool<H>,
  ctx: C,
): PoolCtx<C, H> {
  const calls: PoolCalls<H> = {
    run: async (name, args, options) => {
      const [id] = await pool.enqueueBatch(name, [args], options);
      const result = await pool.result(id as TaskId<TaskReturn<H[typeof name]>>);
      if (result.kind === "success") return result.returnValue;
      if (result.kind === "failed") throw revivedError(result.error);
      throw new BatchworkError("CANCELED", `Task ${id} of "${pool.name}" was canceled.`);
    },
    scheduler: {
      runAfter: async (runAfter, name, args) =>
        one(await pool.enqueueBatch(name, [args], { runAfter })),
      runAt: async (runAt, name, args) => one(await pool.enqueueBatch(name, [args], { runAt })),
      cancel: async (id) => {
        await pool.cancel(id);
      },
    },
  };
  // Its getters are asked when they are read: a spread would read them all now.
  return new Proxy(ctx, {
    get: (target, key): unknown => {
      if (Object.hasOwn(calls, key)) return Reflect.get(calls, key);
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
    has: (target, key) => Object.hasOwn(calls, key) || Reflect.has(target, key),
  }) as PoolCtx<C, H>;
}

function one<T>(ids: readonly T[]): T {
  return ids[0] as T;
}
