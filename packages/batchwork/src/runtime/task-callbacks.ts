/** Tells `onComplete` and `onCompleteBatch` of tasks that ended, as items of a queue of batches. */
import type { EndedTask } from "../core/ended-task.ts";
import type { StoredError } from "../core/errors.ts";
import type { StoredTask, TaskResult } from "../core/task.ts";
import type { Payload } from "../storage/storage.ts";
import type { BatchContext } from "./context.ts";
import type { Completion, CompletionContext } from "./pool-options.ts";
import type { EndedRun } from "./task-slice.ts";
import type { TaskQueue } from "./task-queue.ts";

/** What is stored of a task that the runtime settles; the storage says {@link EndedTask}. */
interface ToldTask {
  readonly id: string;
  readonly name: string;
  readonly context?: unknown;
  /** Left out where it failed, and where it returned `undefined`. */
  readonly value?: unknown;
  readonly error?: StoredError;
}

/** How many `onComplete` of one batch run at a time. */
const AT_ONCE = 16;

/** Ends of tasks in one call, at most. */
export const COMPLETIONS_MAX = 500;

/** The name of the queue: no definition of a user's can have it. */
export function callbacksName(pool: string): string {
  return `${pool} onComplete`;
}

/** What is to be told of a task, encoded. */
export function callbackOf(pool: TaskQueue, { run, end, verdict }: EndedRun): unknown {
  const { id, name, context } = run;
  const told: ToldTask = {
    id,
    name,
    ...(context === undefined ? {} : { context }),
    ...(end.kind === "returned" && end.value !== undefined ? { value: end.value } : {}),
    ...(verdict.kind === "dead" ? { error: verdict.error } : {}),
  };
  return pool.encodeCallback(told);
}

/** What a pool wants called. */
export interface CompletionCallbacks {
  readonly onComplete: ((completion: Completion) => unknown) | undefined;
  readonly onCompleteBatch:
    ((completions: Completion[], ctx: CompletionContext) => unknown) | undefined;
}

/** The handler of the queue of callbacks. `decode` reads a stored task. */
export function completionHandler(
  { onComplete, onCompleteBatch }: CompletionCallbacks,
  decode: (payload: Payload) => unknown[],
): (ctx: BatchContext<ToldTask | EndedTask>) => Promise<void> {
  return async (ctx) => {
    const completions = ctx.batch.map((told) => completionOf(told, decode));
    if (onCompleteBatch !== undefined) {
      await onCompleteBatch(completions, ctx);
      return;
    }
    let next = 0;
    const caller = async (): Promise<void> => {
      while (next < completions.length && !ctx.signal.aborted) {
        const index = next++;
        try {
          await onComplete?.(completions[index] as Completion);
        } catch (error) {
          // It alone is told again.
          ctx.fail(index, error);
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, caller));
  };
}

function completionOf(
  told: ToldTask | EndedTask,
  decode: (payload: Payload) => unknown[],
): Completion {
  if ("ended" in told) {
    const { ended: id, kind, error, task: stored } = told;
    const [task] = decode(typeof stored === "string" ? stored : [stored]) as [StoredTask];
    const failed = { kind: "failed", error: error as StoredError } as const;
    const result: TaskResult = kind === "canceled" ? { kind } : failed;
    return { id, name: task.name, context: task.context, result };
  }
  const { id, name, context, value, error } = told;
  const result: TaskResult =
    error === undefined ? { kind: "success", returnValue: value } : { kind: "failed", error };
  return { id, name, context, result };
}
