/** What apps import; each primitive is also a subpath of its own, with all of its types. */
export { BatchProcessor, failItems, vItemFailures } from "./client/batch.js";
// `BatchResult` is what the worker calls what its query returns; that of `addItems` is in ./batch.
export type {
  BatchConfig,
  BatchStatusResult,
  FlushHistoryItem,
  FlushResult,
  IteratorConfig,
  JobStatusResult,
} from "./client/batch.js";
export * from "./client/pool.js";
export * from "./client/worker.js";
