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
export type { BatchOptions, DeadLetterOptions, RetryOptions } from "./runtime/batch-options.ts";
export type { BatchContext } from "./runtime/context.ts";
export type { AsyncFacade, Facade, FacadeResult, FacadeStatement } from "./runtime/facade.ts";
export type { AddResult } from "./runtime/intake.ts";

// ── Dead letters ──
export {
  DeadLetters,
  type DeadJob,
  type DeadLetter,
  type DeadLetterQuery,
} from "./runtime/dead-letters.ts";

// ── Errors ──
export { BatchworkError, hasCode, type ErrorCode, type StoredError } from "./core/errors.ts";
