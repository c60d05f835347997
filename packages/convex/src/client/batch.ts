/** What apps import to use the accumulator and the iterator. */
export type { LogLevel } from "../base/log.js";
export type {
  Backoff,
  BatchConfig,
  BatchExplanation,
  BatchListItem,
  BatchOverride,
  BatchResult,
  BatchStatus,
  BatchStatusResult,
  DeadLetter,
  DeadLetterQuery,
  DeleteResult,
  FlushHistoryItem,
  FlushResult,
  GetNextBatchArgs,
  GetNextBatchResult,
  IteratorConfig,
  JobListItem,
  JobResult,
  JobStatus,
  JobStatusResult,
  OnCompleteArgs,
  OnCompleteArgs as IteratorOnCompleteArgs,
  ProcessBatchArgs,
  Throttle,
} from "./batch-contract.js";
export type { JobOverride } from "./batch-config.js";
export { BatchProcessor } from "./batch-processor.js";
export type { BatchComponent } from "./batch-processor.js";
export { failItems, vItemFailures } from "./item-failures.js";
export type { FailedItem, ItemFailures } from "./item-failures.js";
