/**
 * The page on convex-batch-processor's table iterator, snippet by snippet: with an iterator of an
 * engine in place of the component's calls, and time that the test moves. Its options keep their
 * names; `getNextBatch`, `processBatch` and `onComplete` are functions instead of references.
 */
import { describe, expect, test } from "vitest";

import type { Batchwork } from "../../src/runtime/engine.ts";
import type { IteratorOptions, NextBatchRequest } from "../../src/runtime/iterator-options.ts";
import type { TableIterator } from "../../src/runtime/iterator.ts";
import { Fixture, numbers, STORAGES } from "../runtime/fixture.ts";
import { Noted } from "./noted.ts";

interface User {
  readonly _id: string;
  readonly name: string;
  readonly email: string;
}

const USERS: readonly User[] = numbers(250).map((n) => ({
  _id: `user_${n}`,
  name: `User ${n}`,
  email: `${n}@example.com`,
}));

/** The page's `ctx.db.query("users").paginate(…)`. */
function paginate({ cursor, numItems }: { cursor: string | null; numItems: number }): {
  page: User[];
  continueCursor: string;
  isDone: boolean;
} {
  const from = cursor === null ? 0 : Number(cursor);
  const to = Math.min(USERS.length, from + numItems);
  return { page: USERS.slice(from, to), continueCursor: String(to), isDone: to === USERS.length };
}

/** The page's `getNextBatch`. */
async function getNextBatch({ cursor, batchSize }: NextBatchRequest): Promise<{
  items: User[];
  cursor: string;
  done: boolean;
}> {
  const results = paginate({ cursor: cursor ?? null, numItems: batchSize });
  return { items: results.page, cursor: results.continueCursor, done: results.isDone };
}

/** What its `startMigration` passes. */
function migration(noted: Noted, over: Partial<IteratorOptions<User>> = {}): IteratorOptions<User> {
  const migrateUser = noted.fn("migrateUser");
  return {
    name: "migration",
    batchSize: 100,
    delayBetweenBatchesMs: 100,
    getNextBatch,
    processBatch: async ({ items }) => {
      for (const user of items) {
        await migrateUser(user._id);
      }
    },
    onComplete: async ({ jobId, processedCount }) => {
      await noted.fn("completed")(jobId, processedCount);
    },
    maxRetries: 5,
    ...over,
  };
}

describe.each(STORAGES)("the page's snippets on %s storage:", (kind) => {
  async function started(
    f: Fixture,
    options: IteratorOptions<User>,
  ): Promise<{ readonly bw: Batchwork; readonly iterator: TableIterator<User> }> {
    const { bw, batch } = await f.started((engine) => engine.iterator<User>(options));
    return { bw, iterator: batch };
  }

  test("start: every user once, in batches of 100 with 100 ms between, then onComplete", async () => {
    const f = new Fixture(kind);
    const noted = new Noted();
    const { iterator } = await started(f, migration(noted));
    const jobId = "migration-1764000000000";
    await f.run(iterator.start(jobId));
    await f.advance(0);
    expect(noted.count("migrateUser")).toBe(100);
    await f.advance(1000);
    const migrated = noted.calls.filter(([name]) => name === "migrateUser").map(([, id]) => id);
    expect(migrated).toEqual(USERS.map(({ _id }) => _id));
    expect(noted.calls.at(-1)).toEqual(["completed", jobId, 250]);
    expect(noted.count("completed")).toBe(1);
  });

  test("job control: pause, resume, cancel, status, list, delete", async () => {
    const f = new Fixture(kind);
    const noted = new Noted();
    const { iterator } = await started(f, migration(noted));
    for (const jobId of ["job-1", "job-2"]) await f.run(iterator.start(jobId));
    await f.advance(0);
    await f.run(iterator.pause("job-1"));
    await f.run(iterator.cancel("job-2"));
    await f.advance(60_000);
    const before = noted.count("migrateUser");

    expect(await f.run(iterator.status("job-1"))).toMatchObject({
      status: "paused",
      batchSize: 100,
      retryCount: 0,
    });
    const list = async (status: "paused" | "cancelled"): Promise<string[]> =>
      (await f.run(iterator.list({ status }))).map(({ jobId }) => jobId);
    expect(await list("paused")).toEqual(["job-1"]);
    expect(await list("cancelled")).toEqual(["job-2"]);

    await f.run(iterator.resume("job-1"));
    await f.advance(1000);
    expect(noted.count("migrateUser")).toBeGreaterThan(before);
    expect(await f.run(iterator.status("job-1"))).toMatchObject({
      status: "completed",
      processedCount: 250,
    });
    expect(noted.calls.filter(([name]) => name === "completed")).toEqual([
      ["completed", "job-1", 250],
    ]);
    for (const jobId of ["job-1", "job-2"]) await f.run(iterator.delete(jobId));
    expect(await f.run(iterator.list())).toEqual([]);
  });

  test("retries: with 1, 2, 4 and 8 s between, then failed, with the error kept", async () => {
    const f = new Fixture(kind);
    const noted = new Noted();
    const at: number[] = [];
    const { iterator } = await started(
      f,
      migration(noted, {
        processBatch: () => {
          at.push(f.clock.monotonicMs());
          throw new Error("Downstream is down");
        },
      }),
    );
    await f.run(iterator.start("job"));
    await f.advance(300_000);
    const waits = at.slice(1).map((time, n) => Math.round(time - (at[n] ?? 0)));
    expect(waits).toEqual([1000, 2000, 4000, 8000]);
    expect(await f.run(iterator.status("job"))).toMatchObject({
      status: "failed",
      errorMessage: "Downstream is down",
    });
    expect(noted.count("completed")).toBe(0);
  });
});
