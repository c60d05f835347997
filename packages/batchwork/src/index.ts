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
  RetryOptions,
  SchemaBatchOptions,
  TargetOptions,
  ThrottleOptions,
} from "./runtime/batch-options.ts";
export type { Explanation, WaitsFor } from "./runtime/explain.ts";
export type { BatchHistoryQuery, FinishedBatch } from "./runtime/history.ts";
export type { BatchContext } from "./runtime/context.ts";
export type { AsyncFacade, Facade, FacadeResult, FacadeStatement } from "./runtime/facade.ts";
export type { AddResult } from "./runtime/intake.ts";
export type { AddOptions, BulkOptions } from "./runtime/add-options.ts";

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
