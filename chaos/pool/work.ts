/** What all processes of a campaign on a pool agree on. */
import type { Batchwork, Completion, CompletionContext, Pool, TaskContext } from "batchwork";

export interface ChaosTask {
  /** Fails its first attempt. */
  readonly flaky: boolean;
  /** How long it takes, ms. */
  readonly ms: number;
}

export type ChaosPool = Pool<{
  readonly work: (args: ChaosTask, ctx: TaskContext) => Promise<string>;
}>;

/** Tasks that run at a time, over all processes. */
export const PARALLELISM = 7;

/** What a task returns: so nobody can have got the result of another. */
export function returnOf(id: string): string {
  return `done ${id}`;
}

/** Steps that a process takes; whoever only looks takes none. */
export interface TaskSteps {
  readonly run: (args: ChaosTask, ctx: TaskContext) => Promise<void>;
  readonly told: (completions: readonly Completion[], ctx: CompletionContext) => Promise<void>;
}

export function definePool(engine: Batchwork, { run, told }: TaskSteps): ChaosPool {
  return engine.pool({
    name: "chaos",
    maxParallelism: PARALLELISM,
    retry: { maxAttempts: 3, initialBackoffMs: 10 },
    handlers: {
      work: async (args, ctx) => {
        await run(args, ctx);
        return returnOf(ctx.id);
      },
    },
    onCompleteBatch: told,
  });
}
