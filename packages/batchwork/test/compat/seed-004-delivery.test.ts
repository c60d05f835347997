/**
 * The page on OqronKit's Batch, continued: what becomes of a batch once a handler has it, and the
 * options of the module.
 */
import { describe, expect, test } from "vitest";

import type { BatchContext } from "../../src/runtime/context.ts";
import type { Batchwork } from "../../src/runtime/engine.ts";
import { ascending, Fixture, itemsOf, numbers, recorder, STORAGES } from "../runtime/fixture.ts";
import { Noted } from "./noted.ts";

describe.each(STORAGES)("the page's snippets on %s storage:", (kind) => {
  test("progress of a long batch is there to see while it runs, and it is not taken for stuck", async () => {
    interface UserRecord {
      readonly id: number;
    }
    const f = new Fixture(kind);
    const halfWay = Promise.withResolvers<undefined>();
    const processUser = async (user: UserRecord | undefined): Promise<void> => {
      if (user?.id === 550) await halfWay.promise;
    };
    let runs = 0;
    const { batch: massiveSync } = await f.started((bw) =>
      bw.batch<UserRecord>({
        name: "massive-sync",
        maxSize: 10000,
        maxWaitMs: 60_000,
        timeout: 300_000, // 5 minutes

        handler: async (ctx) => {
          runs++;
          for (let i = 0; i < ctx.batchSize; i++) {
            await processUser(ctx.batch[i]);

            // Update progress every 100 items
            if (i % 100 === 0) {
              const pct = Math.floor((i / ctx.batchSize) * 100);
              await ctx.progress(pct, `Processed ${i}/${ctx.batchSize}`);
            }
          }
        },
      }),
    );
    await f.run(massiveSync.addBulk(numbers(1000).map((id) => ({ id }))));
    await f.advance(60_000 + 240_000);
    expect(await f.run(massiveSync.status())).toMatchObject({
      leased: 1,
      running: [{ size: 1000, percent: 50, note: "Processed 500/1000" }],
    });
    halfWay.resolve(undefined);
    await f.advance(1000);
    expect(await f.run(massiveSync.status())).toMatchObject({ leased: 0, dead: 0, retrying: 0 });
    expect(runs).toBe(1);
  });

  test("retry and dead letters: two seconds, four, eight, then onDead, and the letters are kept", async () => {
    interface DbRow {
      readonly id: number;
    }
    const f = new Fixture(kind);
    const noted = new Noted();
    const at: number[] = [];
    const alertSlack = noted.fn("alertSlack");
    const db = {
      bulkInsert: noted.fn("bulkInsert", () => {
        at.push(f.clock.monotonicMs());
        throw new Error("disk full");
      }),
    };
    const { process, batch: bulkWriter } = await f.started((bw) =>
      bw.batch<DbRow>({
        name: "bulk-write",
        maxSize: 1000,
        maxWaitMs: 15_000,

        retries: {
          max: 3,
          strategy: "exponential", // 'exponential' | 'fixed'
          baseDelay: 2_000, // 2s → 4s → 8s
        },

        deadLetter: {
          enabled: true,
          onDead: async (_job, error) => {
            await alertSlack(`Bulk write permanently failed: ${error.message}`);
          },
        },

        handler: async (ctx) => {
          if (ctx.attempt > 1) {
            ctx.log("warn", `Retry attempt ${ctx.attempt}/${ctx.maxAttempts}`);
          }
          await db.bulkInsert(ctx.batch);
        },
      }),
    );
    await f.run(bulkWriter.addBulk([{ id: 1 }, { id: 2 }]));
    await f.advance(60_000);
    expect(noted.count("bulkInsert")).toBe(4);
    expect(at.slice(1).map((ms, n) => ms - (at[n] ?? 0))).toEqual([2000, 4000, 8000]);
    expect(process.logged("warn")).toEqual([
      "Retry attempt 2/4",
      "Retry attempt 3/4",
      "Retry attempt 4/4",
    ]);
    expect(noted.calls.at(-1)).toEqual(["alertSlack", "Bulk write permanently failed: disk full"]);
    const letters = await f.run(bulkWriter.deadLetters.list());
    expect(letters.map(({ item }) => item)).toEqual([{ id: 1 }, { id: 2 }]);
  });

  test("hooks: beforeFlush filters, onSuccess and onFail are told what became of it", async () => {
    interface LogEntry {
      readonly level: string;
    }
    const f = new Fixture(kind);
    const noted = new Noted();
    const metrics = { increment: noted.fn("increment") };
    let down = true;
    const logStore = {
      bulkWrite: noted.fn("bulkWrite", () => {
        if (down) throw new Error("down");
      }),
    };
    const { batch: monitored } = await f.started((bw) =>
      bw.batch<LogEntry>({
        name: "log-flush",
        maxSize: 500,
        maxWaitMs: 5_000,
        retries: { max: 1 },

        hooks: {
          // Filter or transform items before they become a batch job
          beforeFlush: (items, _groupKey) => {
            return items.filter((item) => item.level !== "debug");
          },

          // Called after handler succeeds
          onSuccess: async (_job, _result) => {
            await metrics.increment("batch.success", { name: "log-flush" });
          },

          // Called after handler fails (before retry decision)
          onFail: async (_job, _error) => {
            await metrics.increment("batch.error", { name: "log-flush" });
          },
        },

        handler: async (ctx) => {
          await logStore.bulkWrite(ctx.batch);
        },
      }),
    );
    await f.run(monitored.addBulk([{ level: "info" }, { level: "debug" }]));
    await f.advance(5000);
    expect(noted.calls).toEqual([
      ["bulkWrite", [{ level: "info" }]],
      ["increment", "batch.error", { name: "log-flush" }],
    ]);
    down = false;
    await f.advance(5000);
    expect(noted.calls.slice(2)).toEqual([
      ["bulkWrite", [{ level: "info" }]],
      ["increment", "batch.success", { name: "log-flush" }],
    ]);
  });

  test("crash-safety: what a process had in hand when it died is delivered after a restart", async () => {
    const f = new Fixture(kind);
    const define = (handler: (ctx: BatchContext<number>) => unknown) => (bw: Batchwork) =>
      bw.batch<number>({ name: "precious", maxSize: 3, maxWaitMs: 1000, handler });
    const first = recorder<number>(f.clock, () => Promise.withResolvers<never>().promise);
    const { process, batch } = await f.started(define(first.handler));
    await f.run(batch.addBulk([1, 2, 3, 4]));
    await f.advance(0);
    expect(itemsOf(first.deliveries)).toEqual([1, 2, 3]);
    process.kill();
    const second = recorder<number>(f.clock);
    await f.started(define(second.handler));
    await f.advance(30_000);
    expect(itemsOf(second.deliveries).toSorted(ascending)).toEqual([1, 2, 3, 4]);
  });

  test("in-memory mode: nothing of the buffer reaches the storage", async () => {
    interface MetricPoint {
      readonly value: number;
    }
    const f = new Fixture(kind);
    const noted = new Noted();
    const metricsBackend = { submitBatch: noted.fn("submitBatch") };
    const { process, batch: fastBuffer } = await f.started((bw) =>
      bw.batch<MetricPoint>({
        name: "metrics-buffer",
        maxSize: 1000,
        maxWaitMs: 2_000,
        persist: false, // No storage writes for buffering

        handler: async (ctx) => {
          await metricsBackend.submitBatch(ctx.batch);
        },
      }),
    );
    await f.run(fastBuffer.addBulk([{ value: 1 }, { value: 2 }]));
    await f.advance(2000);
    expect(noted.calls).toEqual([["submitBatch", [{ value: 1 }, { value: 2 }]]]);
    expect(process.count("append")).toBe(0);
    expect(process.count("progress")).toBe(0);
  });

  test("configuration reference: at most throttle.max flushes in throttle.duration, and tags", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { bw, batch } = await f.started((engine) =>
      engine.batch<number>({
        name: "throttled",
        maxSize: 1,
        maxWaitMs: 1000,
        throttle: { max: 2, duration: 60_000 },
        tags: ["billing", "slow"],
        handler,
      }),
    );
    await f.run(batch.addBulk([1, 2, 3, 4, 5]));
    await f.advance(59_999);
    expect(itemsOf(deliveries)).toEqual([1, 2]);
    await f.advance(2000);
    expect(itemsOf(deliveries)).toEqual([1, 2, 3, 4]);
    await f.advance(60_000);
    expect(itemsOf(deliveries)).toEqual([1, 2, 3, 4, 5]);
    expect(bw.batches({ tag: "billing" }).map(({ name }) => name)).toEqual(["throttled"]);
    expect(bw.batches({ tag: "other" })).toEqual([]);
  });

  test("module configuration: the options of batchModule are the engine's", async () => {
    const f = new Fixture(kind);
    let running = 0;
    let most = 0;
    const { process, batch } = await f.started(
      (bw) =>
        bw.batch<number>({
          name: "parallel",
          maxSize: 1,
          maxWaitMs: 0,
          handler: async () => {
            most = Math.max(most, ++running);
            await Promise.resolve();
            running--;
          },
        }),
      {
        tickIntervalMs: 1_000, // How often to check buffers (default: 1000)
        heartbeatMs: 5_000, // How often to poll for batch jobs (default: 5000)
        concurrency: 5, // Max parallel batch handlers (default: 5)
        leaderElection: true, // Only leader scans buffers (default: true)
      },
    );
    await f.run(batch.addBulk(numbers(40)));
    await f.advance(5000);
    expect(most).toBeLessThanOrEqual(5);
    expect(await f.run(batch.status())).toMatchObject({ waiting: 0, leased: 0 });
    expect(process.logged("debug")).toEqual([expect.stringMatching(/^leaderElection/)]);
  });
});
