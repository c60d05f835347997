/** The options of an iterator, as the user writes them. */
import type { IteratorSettings } from "../core/iterator-options.ts";
import type { DeadJob } from "./dead-letters.ts";
import type { CompletedJob, PageContext } from "./iterator-context.ts";
import type { IteratorSource } from "./iterator-source.ts";

export type { IteratorSettings, JobSettings } from "../core/iterator-options.ts";

/** What `getNextBatch` is asked for. */
export interface NextBatchRequest {
  /** Where the page before ended, as it said; `undefined` for the first page. */
  readonly cursor: string | undefined;
  /** Most items to return. */
  readonly batchSize: number;
  readonly jobId: string;
}

/** A page, as `getNextBatch` returns it. */
export interface NextBatch<T> {
  /** At most `batchSize` items. */
  readonly items: readonly T[];
  /** Where it ends. May be left out only when `done`. */
  readonly cursor?: string | null | undefined;
  /** True when there is nothing behind this page. */
  readonly done: boolean;
}

/** Options of `bw.iterator(…)`. Either `source` or `getNextBatch` is required. */
export interface IteratorOptions<T> extends IteratorSettings {
  /** Where items come from: `fromTable(…)` or `fromAsyncIterable(…)`. */
  readonly source?: IteratorSource<T>;
  /** Reads the next page. It must return the same page for the same cursor when asked again. */
  readonly getNextBatch?: (request: NextBatchRequest) => NextBatch<T> | Promise<NextBatch<T>>;
  /**
   * Processes one page. Without `ctx.tx` it runs at least once for each page: when its process dies
   * before the page is noted, it runs again. Required.
   */
  readonly processBatch: (ctx: PageContext<T>) => unknown;
  /**
   * Called when every item is processed, or dead. It is called again, after the same waits as a
   * page, until it returns; once it has returned, never again.
   */
  readonly onComplete?: (job: CompletedJob) => unknown;
  /**
   * Asked before every page. True to go on; otherwise the reason to wait, which `status()` shows.
   * Asked again after `healthCheckMs`.
   */
  readonly healthCheck?: () => boolean | string | Promise<boolean | string>;
  /** Told of items that died, at least once; see `deadLetter.onDead` of a batch. */
  readonly onDead?: (job: DeadJob<T>, error: Error) => unknown;
}
