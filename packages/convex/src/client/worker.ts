/** What apps import to use the worker: one background loop per name, over work of their own. */
import {
  createFunctionHandle,
  type DefaultFunctionArgs,
  type FunctionReference,
  type FunctionVisibility,
} from "convex/server";
import type { ComponentApi } from "../worker/_generated/component.js";
import type { RunMutationCtx } from "./contexts.js";
import type {
  BatchQueryArgs,
  BatchResult,
  DeadBatch,
  DefaultCursor,
  WorkerConfig,
  WorkerResult,
} from "./worker-contract.js";

export type { LogLevel } from "../base/log.js";
export {
  defineBatchWorkerValidators,
  vBatchQueryArgs,
  vBatchResult,
  vDefaultCursor,
  vWorkerResult,
} from "./worker-contract.js";
export type {
  BatchQueryArgs,
  BatchResult,
  DeadBatch,
  DefaultCursor,
  WorkerConfig,
  WorkerResult,
  WorkerStatus,
} from "./worker-contract.js";

/** `components.<name>` of an installed worker. */
export type WorkerComponent = ComponentApi;

/**
 * Makes the worker if there is none, and wakes it if it sleeps. Call it in the mutation that
 * inserts work, or in an action after one. While the worker runs, a ping only reads one row that
 * is rarely written; while it is stopped, a ping is ignored until `lib.start`.
 *
 * - `name`: distinct names are independent loops. The work query is given it.
 * - `workQuery`: returns the next batch, or `{ kind: "idle" }`.
 * - `workerMutation`: is called with the batch, and deletes or marks what it processed. The batch,
 *   its cursor and the decision on the next turn commit together.
 * - `config.debounceMs`: delay of the first turn after a wake-up, ms. Default 0.
 * - `config.monitorLagMs`: how often a busy loop is looked after, ms, at least and by default
 *   10,000.
 * - `config.backoff`, `config.maxAttempts`, `config.isolate`: what becomes of a batch that throws.
 * - `onDead`: takes a batch that is out of attempts out of the queue, in the same transaction.
 *
 * When either function throws, the turn is rolled back and comes again after 1, 2, 4 … 60 s;
 * `lib.explain` shows the error. Functions and config are stored by the ping that makes or wakes
 * the worker. Throws `OPTION_INVALID` for a delay that is negative or not a number.
 */
export async function ping<Batch extends DefaultFunctionArgs, Cursor = DefaultCursor>(
  ctx: RunMutationCtx,
  component: WorkerComponent,
  args: {
    name: string;
    workQuery: FunctionReference<
      "query",
      "internal",
      BatchQueryArgs<Cursor>,
      BatchResult<Batch, NoInfer<Cursor>>
    >;
    workerMutation: FunctionReference<
      "mutation",
      "internal",
      Batch,
      WorkerResult<NoInfer<Cursor>> | void
    >;
    onDead?: FunctionReference<"mutation", FunctionVisibility, DeadBatch<NoInfer<Batch>>>;
    config?: Partial<WorkerConfig>;
  },
): Promise<void> {
  const { name, config } = args;
  const [workQuery, workerMutation] = await Promise.all([
    createFunctionHandle(args.workQuery),
    createFunctionHandle(args.workerMutation),
  ]);
  const handles = { name, workQuery, workerMutation };
  const { onDead } = args;
  const declared =
    onDead === undefined ? handles : { ...handles, onDead: await createFunctionHandle(onDead) };
  await ctx.runMutation(
    component.lib.ping,
    config === undefined ? declared : { ...declared, config },
  );
}
