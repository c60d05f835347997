/** `batchwork/core`: the pure decisions, without clock, randomness or storage of their own. */
export { halves } from "./bisect.ts";
export {
  adaptedSize,
  askedSize,
  GROWTH_MAX,
  SHRINK,
  type MeasuredDelivery,
  type SizeTarget,
} from "./adaptive-size.ts";
export { advanceClock, type Clock, type ClockReading, type Timer } from "./clock.ts";
export {
  createCodec,
  joinItems,
  pickText,
  SEPARATOR,
  splitItems,
  type Codec,
  type RichFormat,
} from "./codec.ts";
export {
  BatchworkError,
  hasCode,
  revivedError,
  storedError,
  type ErrorCode,
  type ErrorDetails,
  type StoredError,
} from "./errors.ts";
export {
  dueReason,
  fitCount,
  groupLookAt,
  lookAt,
  type BatchCaps,
  type FlushReason,
  type GroupState,
  type Room,
  type Waiting,
} from "./flush.ts";
export {
  afterCrash,
  afterRevival,
  hasExpired,
  isDeadly,
  nextToken,
  type CrashRecord,
  type Lease,
} from "./lease.ts";
export * from "./limits.ts";
export {
  compact,
  idAt,
  indexAt,
  isRun,
  itemCount,
  itemId,
  itemIds,
  memberCount,
  packMembers,
  placeOf,
  selectMembers,
  unpackMembers,
  type Member,
  type Run,
} from "./members.ts";
export {
  resolveBatchOptions,
  resolveEngineOptions,
  type BatchSettings,
  type EngineSettings,
  type ResolvedBatchOptions,
  type ResolvedEngineOptions,
  type RetryOptions,
  type TargetOptions,
  type ThrottleOptions,
} from "./options.ts";
export {
  SchemaError,
  type SchemaInput,
  type SchemaIssue,
  type SchemaOutput,
  type SchemaResult,
  type StandardSchema,
} from "./schema.ts";
export { maxAttempts, retryDelayMs, type RetryPolicy } from "./retry.ts";
export {
  settle,
  type Again,
  type Child,
  type Dead,
  type Done,
  type FailurePolicy,
  type Outcome,
  type Split,
  type Verdict,
} from "./settle.ts";
export { transition, TRANSITIONS, type BatchEvent, type BatchState } from "./transitions.ts";
