/** Durable batching for TypeScript: the public surface, grouped by primitive. */

// ── The engine ──
export { Batchwork, type StopOptions } from "./runtime/engine.ts";
export type { BatchworkOptions } from "./runtime/batch-options.ts";
export type { Clock, Timer } from "./core/clock.ts";
export type { LogFields, Logger, LogLevel } from "./runtime/logger.ts";
export type { Storage } from "./storage/storage.ts";

// ── Batch ──
export { Batch } from "./runtime/accumulator.ts";
export type { BatchStatus, RunningBatchStatus } from "./runtime/batch-status.ts";
export type {
  BatchOptions,
  DeadLetterOptions,
  KeepOptions,
  PendingOptions,
  RemoveOption,
  RetryOptions,
  SchemaBatchOptions,
  TargetOptions,
  ThrottleOptions,
} from "./runtime/batch-options.ts";
export type { Explanation, WaitsFor } from "./runtime/explain.ts";
export type { BatchHistoryQuery, FinishedBatch } from "./runtime/history.ts";
export type { Replayed } from "./runtime/replay.ts";
export { QueueFullError } from "./core/pending.ts";
export type { PendingState } from "./runtime/pending-state.ts";
export type { BatchContext } from "./runtime/context.ts";
export type { AsyncFacade, Facade, FacadeResult, FacadeStatement } from "./runtime/facade.ts";
export type { AddResult } from "./runtime/intake.ts";
export type {
  ItemResults,
  ItemStatus,
  ResultOf,
  SubmitOptions,
  WaitOptions,
} from "./runtime/item-results.ts";
export type { AddOptions, BulkOptions } from "./runtime/add-options.ts";

// ── Pool ──
export { NonRetryableError } from "./core/non-retryable.ts";
export { Pool, type TaskId, type TaskStatus } from "./runtime/pool.ts";
export type { PoolConfig, PoolConfiguration } from "./runtime/pool-config.ts";
export type { PoolCtx } from "./runtime/pool-ctx.ts";
export type { PoolExplanation, PoolStats, PoolWaitsFor } from "./runtime/pool-explain.ts";
export { task, type PoolHandler, type PoolHandlers } from "./runtime/pool-handlers.ts";
export type {
  Completion,
  CompletionContext,
  EnqueueBatchOptions,
  EnqueueOptions,
  PoolOptions,
  PoolRetry,
  ResultOptions,
  StoredTask,
  TaskResult,
} from "./runtime/pool-options.ts";
export type { TaskContext } from "./runtime/task-context.ts";

// ── Iterator ──
export { TableIterator, type JobQuery } from "./runtime/iterator.ts";
export { fromAsyncIterable, fromTable } from "./runtime/iterator-source.ts";
export type {
  IterableSource,
  IteratorSource,
  TableOptions,
  TableSource,
} from "./runtime/iterator-source.ts";
export type {
  IteratorOptions,
  IteratorSettings,
  JobSettings,
  NextBatch,
  NextBatchRequest,
} from "./runtime/iterator-options.ts";
export type {
  CompletedJob,
  CoverageRange,
  CoverageReport,
  PageContext,
  PageTransaction,
} from "./runtime/iterator-context.ts";
export type { JobStatus, JobStatusName, PartitionStatus } from "./runtime/iterator-status.ts";

// ── Worker ──
export { Worker, type PingOptions, type PingSyncOptions } from "./runtime/worker.ts";
export type {
  AsyncWorkerOptions,
  Processed,
  QueryArgs,
  Work,
  WorkerContext,
  WorkerOptions,
  WorkerRetries,
} from "./runtime/worker-options.ts";
export type { WorkerStats, WorkerStatus } from "./runtime/worker-status.ts";
export type { WorkerDeadLetter, WorkerDeadLetterQuery } from "./runtime/worker-dead-letters.ts";

// ── Watching: events and hooks ──
export type {
  BatchEvent,
  BatchEvents,
  DeliveryEvent,
  EngineEvents,
  Listener,
} from "./runtime/events.ts";
export type { BatchHooks, HookJob } from "./runtime/hooks.ts";

// ── Schemas ──
export {
  SchemaError,
  type SchemaInput,
  type SchemaIssue,
  type SchemaOutput,
  type StandardSchema,
} from "./core/schema.ts";

// ── Dead letters ──
export {
  DeadLetters,
  type DeadJob,
  type DeadLetter,
  type DeadLetterQuery,
} from "./runtime/dead-letters.ts";

// ── Moving to another storage ──
export { promote, type PromoteOptions } from "./promote/promote.ts";
export type { PromotionReport } from "./storage/promotion.ts";

// ── Errors ──
export { BatchworkError, hasCode, type ErrorCode, type StoredError } from "./core/errors.ts";
