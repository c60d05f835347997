/** What apps import to use the pool. */
export type { LogLevel } from "../base/log.js";
export { vLogLevel } from "../base/log.js";
export { NonRetryableError, isNonRetryableError } from "../pool/errors.js";
export {
  vOnComplete,
  vOnCompleteArgs,
  vOnCompleteArgs as vOnCompleteValidator,
  vResult,
  vResult as resultValidator,
  vResult as vResultValidator,
  vRunResult,
  vWorkId,
  vWorkId as vWorkIdValidator,
  vWorkId as workIdValidator,
} from "./work-id.js";
export type { OnCompleteArgs, RunResult, WorkId, WorkStatus } from "./work-id.js";
export { DEFAULT_RETRY_BEHAVIOR, vRetryBehavior } from "./work-options.js";
export type {
  EnqueueOptions,
  RetryBehavior,
  RetryOption,
  WorkpoolOptions,
  WorkpoolRetryOptions,
} from "./work-options.js";
export { BatchWorkpool } from "./batch-workpool.js";
export { enqueue, enqueueBatch } from "./enqueue.js";
export type { BatchTask, BatchTaskId, BatchWorkpoolOptions } from "./batch-workpool.js";
export type { PoolCtx, PoolRunner } from "./pool-ctx.js";
export { Workpool } from "./workpool.js";
export type { WorkpoolComponent } from "./workpool.js";
export type { DeadLetter, PoolSummary, WorkExplanation } from "./inspectable-pool.js";
