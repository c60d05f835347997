/** What a batch handler is given. */
import type { AsyncFacade, Facade } from "./facade.ts";
import type { ItemResults } from "./item-results.ts";
import type { LogFields, LogLevel } from "./logger.ts";

/** The one argument of a batch handler. */
export interface BatchContext<T> {
  /**
   * Id of the batch. The same id always means the same items in the same order, on every delivery,
   * so it can serve as an idempotency key downstream.
   */
  readonly id: string;
  /** Name of the definition. */
  readonly name: string;
  /** The items, in the order in which they were committed. Changing the array changes no retry. */
  readonly batch: T[];
  /** How many items there are. */
  readonly batchSize: number;
  /** The ids that `add` returned, by position. */
  readonly itemIds: readonly string[];
  /** What `groupBy` returned for these items; `undefined` without `groupBy`. */
  readonly groupKey: string | undefined;
  /** Which attempt this is; the first is 1. A crash of the process is not an attempt. */
  readonly attempt: number;
  /** `retries.max + 1`. */
  readonly maxAttempts: number;
  /** When the batch was sealed. */
  readonly createdAt: Date;
  /**
   * Aborts when the result no longer counts: the `timeout` passed (`HANDLER_TIMEOUT`), another
   * process took over (`LEASE_LOST`), or `stop()` ran out of grace (`STOPPED`).
   */
  readonly signal: AbortSignal;

  /**
   * Marks one item as failed; the others succeed if the handler then returns. Failed items go on by
   * themselves as a new batch with the next attempt, or become dead letters.
   *
   * @param index position in `batch`, 0 to `batchSize - 1`
   * @throws `OPTION_INVALID` for any other index; `TX_OVER` after `ctx.tx` has committed
   */
  fail(index: number, error: unknown): void;

  /**
   * Says what each item resulted in, by position; return what it returns. Whoever awaits
   * `submit(item)` is told the item's own result, once it is stored with the end of the batch; of
   * other items nothing is kept. The result of an item that failed counts for nothing. Call it
   * inside `ctx.tx`, or before, when you use that. An item whose result cannot be stored fails
   * (`RESULT_INVALID`).
   *
   * @throws `RESULT_INVALID` for anything but one result for each item; `TX_OVER` after `ctx.tx`
   * has committed
   */
  results<X>(values: readonly X[]): ItemResults<X>;

  /**
   * Runs `fn` in one database transaction with the acknowledgement of the batch: its writes, adds
   * with `addSync(item, { tx })`, and the end of the batch commit together or not at all. This is
   * what makes effects happen exactly once, as long as they are written through `tx`. Do
   * asynchronous work first and call this last, once; on SQLite `fn` is synchronous. On PostgreSQL
   * `fn` is asynchronous, its `tx` is a `PostgresTx`, and adds are `await add(item, { tx })`.
   *
   * @throws `LEASE_LOST` when another process took over (nothing is written), `TX_ASYNC` when `fn`
   * returns a promise (nothing is written), `TX_OVER` when it already committed
   */
  tx<R>(fn: (tx: Facade) => R): Promise<R>;
  // oxlint-disable-next-line typescript/unified-signatures -- one signature would infer no tx
  tx<R>(fn: (tx: AsyncFacade) => Promise<R>): Promise<R>;

  /**
   * Notes how far the batch is; `status()` shows it. Costs one small write, whatever the batch's
   * size.
   *
   * @param percent 0 to 100
   * @throws `OPTION_INVALID` for another number; `LEASE_LOST` when another process took over
   */
  progress(percent: number, note?: string): Promise<void>;

  /** Writes to the engine's logger, with the batch's name, id and attempt added to the fields. */
  log(level: LogLevel, message: string, fields?: LogFields): void;
}
