/** What the functions of an iterator are given. */
import type { AsyncFacade, Facade } from "./facade.ts";
import type { LogFields, LogLevel } from "./logger.ts";

/** Runs a function in one transaction with what becomes of the page. */
export interface PageTransaction {
  /**
   * Runs `fn` in one database transaction with the cursor behind the page: its writes, adds with
   * `addSync(item, { tx })`, and the new cursor commit together or not at all. This is what makes
   * the effects of a page happen exactly once, as long as they are written through `tx`. Do
   * asynchronous work first and call this last, once; on SQLite `fn` is synchronous, on PostgreSQL
   * asynchronous, as `ctx.tx` of a batch.
   *
   * @throws `LEASE_LOST` when the job was cancelled or another process took it over, `TX_ASYNC`
   * when `fn` returns a promise on SQLite; nothing is written then
   */
  <R>(fn: (tx: Facade) => R): Promise<R>;
  // oxlint-disable-next-line typescript/unified-signatures -- one signature would infer no tx
  <R>(fn: (tx: AsyncFacade) => Promise<R>): Promise<R>;
}

/** The one argument of `processBatch`. */
export interface PageContext<T> {
  readonly jobId: string;
  /** Name of the iterator. */
  readonly name: string;
  /** The page. Changing the array changes no retry. */
  readonly items: T[];
  /** Which attempt at this page this is; the first is 1. */
  readonly attempt: number;
  /** `maxRetries`. */
  readonly maxAttempts: number;
  /** True for items that failed on their page and are tried again apart from it. */
  readonly retried: boolean;
  /** True in a dry run: what `tx` writes is rolled back; leave out every other effect yourself. */
  readonly dryRun: boolean;
  /**
   * Aborts when the result no longer counts: the `timeout` passed (`HANDLER_TIMEOUT`), the job was
   * cancelled or taken over (`LEASE_LOST`), or `stop()` ran out of grace (`STOPPED`).
   */
  readonly signal: AbortSignal;
  readonly tx: PageTransaction;

  /**
   * Marks one item as failed; the others are done if `processBatch` then returns. It is tried again
   * apart from the page, and becomes a dead letter when it is out of attempts.
   *
   * @param index position in `items`
   * @throws `OPTION_INVALID` for any other index; `TX_OVER` after `tx` has committed
   */
  fail(index: number, error: unknown): void;

  /** Writes to the engine's logger, with the iterator's name and the job's id among the fields. */
  log(level: LogLevel, message: string, fields?: LogFields): void;
}

/** The one argument of `onComplete`. */
export interface CompletedJob {
  readonly jobId: string;
  /** Name of the iterator. */
  readonly name: string;
  /** Items that were processed, also those that died. */
  readonly processedCount: number;
  /** Of these, dead letters. */
  readonly deadCount: number;
  /** What the proof of coverage found; `null` without `coverage`. */
  readonly coverage: CoverageReport | null;
  /** As `tx` of a page: what it writes commits with the end of the job, so exactly once. */
  readonly tx: PageTransaction;
}

/** What a walk has to do with the rows that there were and are. */
export interface CoverageReport {
  /** True when every row that was there at the start and is still there was visited, once. */
  readonly proven: boolean;
  /** Rows at the start. */
  readonly atStart: number;
  /** Rows visited. */
  readonly visited: number;
  /** Rows at the end. */
  readonly atEnd: number;
  /** There at the start and at the end, and not visited: the walk went wrong. Processed since. */
  readonly missed: number;
  /** Came behind the walk. Processed since. */
  readonly late: number;
  /** Visits of a row beyond its first. */
  readonly repeated: number;
  /** The ranges of keys that were compared, in the order of the key. */
  readonly ranges: readonly CoverageRange[];
}

export interface CoverageRange {
  /** Cursor of its last key; `null` for no end. */
  readonly to: string | null;
  readonly atStart: number;
  readonly visited: number;
  /** True when the keys visited were exactly those at the start, by count and by hash. */
  readonly same: boolean;
}
