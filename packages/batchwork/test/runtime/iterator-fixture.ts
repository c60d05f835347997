/** Something to walk through, and what a walk did. */
import type { NextBatch, NextBatchRequest } from "../../src/runtime/iterator-options.ts";
import type { PageContext } from "../../src/runtime/iterator-context.ts";
import type { JobStatus } from "../../src/runtime/iterator-status.ts";
import type { TableIterator } from "../../src/runtime/iterator.ts";
import { numbers, type Fixture } from "./fixture.ts";

/** Pages of the numbers from 0; the cursor is the last one. */
export function pagesOf(
  count: number,
): (request: NextBatchRequest) => NextBatch<number> & { readonly cursor: string } {
  return ({ cursor, batchSize }) => {
    const from = cursor === undefined ? 0 : Number(cursor) + 1;
    const items = numbers(Math.min(batchSize, count - from)).map((n) => from + n);
    const last = items.at(-1) ?? from - 1;
    return { items, cursor: String(last), done: last === count - 1 };
  };
}

/** One call of `processBatch`. */
export interface PageRecord<T> {
  readonly items: readonly T[];
  readonly attempt: number;
  readonly retried: boolean;
  /** Time on the fixture's clock, ms. */
  readonly at: number;
}

/** A `processBatch` that notes what it is given, then does what `work` says. */
export function pageRecorder<T = number>(
  f: Fixture,
  work: (ctx: PageContext<T>) => unknown = () => undefined,
): {
  readonly pages: PageRecord<T>[];
  readonly processBatch: (ctx: PageContext<T>) => Promise<unknown>;
} {
  const pages: PageRecord<T>[] = [];
  return {
    pages,
    processBatch: async (ctx) => {
      const { attempt, retried } = ctx;
      pages.push({ items: [...ctx.items], attempt, retried, at: f.clock.monotonicMs() });
      return work(ctx);
    },
  };
}

/** All items of these calls, in order. */
export function itemsOfPages<T>(pages: readonly PageRecord<T>[]): T[] {
  return pages.flatMap(({ items }) => items);
}

/** How a job is; it has to be there. */
export async function statusOf<T>(
  f: Fixture,
  iterator: TableIterator<T>,
  jobId = "job",
): Promise<JobStatus> {
  const status = await f.run(iterator.status(jobId));
  if (status === null) throw new Error(`There is no job ${jobId}.`);
  return status;
}
