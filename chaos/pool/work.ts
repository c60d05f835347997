/** What all processes of a campaign on a pool agree on. */
import type { Batchwork, Completion, Pool, TaskContext } from "batchwork";

export interface ChaosTask {
  /** Fails its first attempt. */
  readonly flaky: boolean;
  /** How long it takes, ms. */
  readonly ms: number;
}

export type ChaosPool = Pool<{
  readonly work: (args: ChaosTask, ctx: TaskContext) => Promise<void>;
}>;

/** Tasks that run at a time, over all processes. */
export const PARALLELISM = 7;

/** Steps that a process takes; whoever only looks takes none. */
export interface TaskSteps {
  readonly run: (args: ChaosTask, ctx: TaskContext) => Promise<void>;
  readonly told: (completions: readonly Completion[]) => void;
}

export function definePool(engine: Batchwork, { run, told }: TaskSteps): ChaosPool {
  return engine.pool({
    name: "chaos",
    maxParallelism: PARALLELISM,
    retry: { maxAttempts: 3, initialBackoffMs: 10 },
    handlers: { work: run },
    onCompleteBatch: (completions) => told(completions),
  });
}
