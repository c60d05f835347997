import { expect, test } from "vitest";
import { advance, advanceUntil, useVirtualTime } from "../stage.js";
import { watched } from "./app/watched.js";
import { crash, stage, type Stage } from "./fixture.js";
import type { JobStatusResult } from "../../src/client/batch.js";

useVirtualTime();

async function users(at: Stage, count: number): Promise<void> {
  await at.t.run(async (ctx) => {
    for (let n = 1; n <= count; n++) await ctx.db.insert("users", { n });
  });
}

const all = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);

function statusOf(at: Stage): Promise<JobStatusResult | null> {
  return at.t.query((ctx) => at.processor.getIteratorStatus(ctx, "job"));
}

async function isOver(at: Stage): Promise<boolean> {
  const status = (await statusOf(at))?.status;
  return status === "completed" || status === "failed";
}

function completions(at: Stage): Promise<unknown[]> {
  return at.t.run((ctx) => ctx.db.query("completed").collect());
}

test("a job goes through a table page by page, and completes once", async () => {
  const at = await stage();
  await users(at, 25);
  await at.iterate(10);
  expect(await statusOf(at)).toMatchObject({ status: "running", processedCount: 0 });
  await advanceUntil(() => isOver(at));
  expect(watched.done.map(({ length }) => length)).toEqual([10, 10, 5]);
  expect(watched.done.flat()).toEqual(all(25));
  expect(await statusOf(at)).toMatchObject({ status: "completed", processedCount: 25 });
  expect(await completions(at)).toMatchObject([{ jobId: "job", processedCount: 25 }]);
});

test("a job id is used once, until it is deleted", async () => {
  const at = await stage();
  const remove = (): Promise<unknown> =>
    at.mutate((ctx) => at.processor.deleteIteratorJob(ctx, "job"));
  expect(await remove()).toMatchObject({ deleted: false });
  await at.iterate(10);
  await expect(at.iterate(10)).rejects.toThrow(/JOB_EXISTS/v);
  expect(await remove()).toMatchObject({ deleted: false });
  await advanceUntil(() => isOver(at));
  expect(await remove()).toEqual({ deleted: true });
  expect(await statusOf(at)).toBeNull();
});

test("pausing and resuming while a page runs starts no second chain", async () => {
  const at = await stage();
  watched.ms = 500;
  await users(at, 30);
  await at.iterate(10);
  await advance(100);
  for (let i = 0; i < 3; i++) {
    await at.mutate((ctx) => at.processor.pauseIterator(ctx, "job"));
    await at.mutate((ctx) => at.processor.resumeIterator(ctx, "job"));
  }
  await advanceUntil(() => isOver(at));
  await advance(10_000);
  expect(watched.batches.flat()).toEqual(all(30));
  expect(await completions(at)).toHaveLength(1);
});

test("a paused job keeps the progress of the page that ran, and goes on from there", async () => {
  const at = await stage();
  watched.ms = 500;
  await users(at, 30);
  await at.iterate(10);
  await advance(100);
  await at.mutate((ctx) => at.processor.pauseIterator(ctx, "job"));
  await advance(60_000);
  expect(await statusOf(at)).toMatchObject({ status: "paused", processedCount: 10 });
  await at.mutate((ctx) => at.processor.resumeIterator(ctx, "job"));
  await advanceUntil(() => isOver(at));
  expect(watched.batches.flat()).toEqual(all(30));
});

test("a job that is cancelled on its last page ends as cancelled, without onComplete", async () => {
  const at = await stage();
  watched.ms = 500;
  await users(at, 5);
  await at.iterate(10);
  await advance(100);
  const cancelled = await at.mutate((ctx) => at.processor.cancelIterator(ctx, "job"));
  expect(cancelled).toEqual({ jobId: "job", status: "failed" });
  await advance(60_000);
  expect(await statusOf(at)).toMatchObject({
    status: "failed",
    cancelled: true,
    errorMessage: "Cancelled by user",
  });
  expect(await completions(at)).toEqual([]);
});

test("a job that is over is neither paused, resumed nor cancelled", async () => {
  const at = await stage();
  await at.iterate(10);
  await advanceUntil(() => isOver(at));
  const { processor } = at;
  const refused = { status: "completed", reason: expect.any(String) as string };
  expect(await at.mutate((ctx) => processor.pauseIterator(ctx, "job"))).toMatchObject(refused);
  expect(await at.mutate((ctx) => processor.resumeIterator(ctx, "job"))).toMatchObject(refused);
  expect(await at.mutate((ctx) => processor.cancelIterator(ctx, "job"))).toMatchObject(refused);
  await expect(at.mutate((ctx) => processor.pauseIterator(ctx, "other"))).rejects.toThrow(
    /JOB_UNKNOWN/v,
  );
});

test("an onComplete that throws is tried again on its own, and the job stays completed", async () => {
  const at = await stage();
  watched.completeFails = 2;
  await users(at, 5);
  await at.iterate(10, 1);
  await advanceUntil(() => isOver(at));
  expect(await statusOf(at)).toMatchObject({ status: "completed", errorMessage: "no completion" });
  await advance(60_000);
  expect(await completions(at)).toHaveLength(1);
  expect(await statusOf(at)).not.toHaveProperty("errorMessage");
  expect(watched.done).toHaveLength(1);
});

test("a page that throws comes again after 1, 2, 4 s, and the job fails when attempts end", async () => {
  const at = await stage();
  watched.fails = 2;
  await users(at, 15);
  await at.iterate(10, 3);
  expect(await advanceUntil(() => watched.done.length === 1)).toBeGreaterThanOrEqual(3000);
  await advanceUntil(() => isOver(at));
  expect(watched.done.flat()).toEqual(all(15));
  watched.fails = Number.POSITIVE_INFINITY;
  await at.mutate((ctx) => at.processor.deleteIteratorJob(ctx, "job"));
  await at.iterate(10, 3);
  await advanceUntil(() => isOver(at));
  expect(await statusOf(at)).toMatchObject({
    status: "failed",
    retryCount: 3,
    errorMessage: "no batch",
  });
});

test("a page whose run died is found out within seconds, and runs again", async () => {
  const at = await stage();
  watched.hangs = 1;
  await users(at, 15);
  await at.iterate(10);
  await advance(100);
  await crash(at, "jobs");
  expect(await advanceUntil(() => isOver(at))).toBeLessThan(10_000);
  expect(watched.done.flat()).toEqual(all(15));
});

test("a page that breaks a limit of the platform is halved until it fits", async () => {
  const at = await stage();
  watched.pageMax = 30;
  await users(at, 50);
  await at.iterate(100);
  await advanceUntil(() => isOver(at));
  expect(watched.done.flat()).toEqual(all(50));
  expect(await statusOf(at)).toMatchObject({ status: "completed", config: { batchSize: 25 } });
});

test("jobs are listed by status, and a status that is none finds none", async () => {
  const at = await stage();
  await at.iterate(10);
  const list = (status?: string): Promise<unknown[]> =>
    at.t.query((ctx) => at.processor.listIteratorJobs(ctx, { status }));
  expect(await list("running")).toMatchObject([{ jobId: "job", status: "running" }]);
  expect(await list("paused")).toEqual([]);
  expect(await list("nonsense")).toEqual([]);
  expect(await list()).toHaveLength(1);
});

test("pages grow while they use little of what a transaction may, up to the maximum", async () => {
  const at = await stage();
  await users(at, 100);
  await at.iterate(5, 5, { maxBatchSize: 30 });
  await advanceUntil(() => isOver(at));
  expect(watched.done.map(({ length }) => length)).toEqual([5, 10, 20, 30, 30, 5]);
  expect(watched.done.flat()).toEqual(all(100));
});

test("a page size that broke a limit is never reached again", async () => {
  const at = await stage();
  watched.pageMax = 15;
  await users(at, 100);
  await at.iterate(5, 5, { maxBatchSize: 100 });
  await advanceUntil(() => isOver(at));
  expect(Math.max(...watched.done.map(({ length }) => length))).toBe(10);
  expect(watched.done.flat()).toEqual(all(100));
});

test("a page shrinks when it used more than half of what a transaction may", async () => {
  const at = await stage();
  const text = "x".repeat(900_000);
  for (let n = 1; n <= 30; n++) await at.t.run((ctx) => ctx.db.insert("users", { n, text }));
  await at.iterate(12, 5, { maxBatchSize: 13 });
  await advanceUntil(() => isOver(at));
  expect(watched.done[0]).toHaveLength(12);
  expect(watched.done[1]).toHaveLength(6);
  expect(watched.done.flat()).toEqual(all(30));
});

test("how a job goes on can be changed while it runs", async () => {
  const at = await stage();
  watched.ms = 100;
  await users(at, 40);
  await at.iterate(10);
  await advance(50);
  await at.mutate((ctx) => at.processor.updateIterator(ctx, "job", { batchSize: 15 }));
  await advanceUntil(() => isOver(at));
  expect(watched.done.map(({ length }) => length)).toEqual([10, 15, 15]);
  const wrong = at.mutate((ctx) => at.processor.updateIterator(ctx, "job", { batchSize: 0 }));
  await expect(wrong).rejects.toThrow(/batchSize must be a whole number of items/v);
});

test("the row of a job that is over is deleted after its ttl, and its id is free", async () => {
  const at = await stage();
  await at.iterate(10, 5, { ttl: 24 * 3_600_000 });
  await advanceUntil(() => isOver(at));
  await advance(23 * 3_600_000);
  expect(await statusOf(at)).not.toBeNull();
  await advance(2 * 3_600_000);
  expect(await statusOf(at)).toBeNull();
});

test("wrong options of a job are refused by their name", async () => {
  const at = await stage();
  await expect(at.iterate(0)).rejects.toThrow(/OPTION_INVALID.*batchSize/v);
  await expect(at.iterate(1, 0)).rejects.toThrow(/OPTION_INVALID.*maxRetries/v);
  await expect(at.iterate(1, 1, { maxBatchSize: -1 })).rejects.toThrow(/maxBatchSize/v);
  await expect(at.iterate(1, 1, { ttl: -1 })).rejects.toThrow(/ttl/v);
});

test("rows of nearly a megabyte are read in pages that fit, with a single attempt allowed", async () => {
  const at = await stage();
  const text = "x".repeat(900_000);
  for (let n = 1; n <= 40; n++) await at.t.run((ctx) => ctx.db.insert("users", { n, text }));
  await at.iterate(1000, 1);
  await advanceUntil(() => isOver(at));
  expect(watched.done.flat()).toEqual(all(40));
  expect(await statusOf(at)).toMatchObject({ status: "completed", processedCount: 40 });
});

test("an onComplete that was given up after ten attempts can be tried again by hand", async () => {
  const at = await stage();
  watched.completeFails = 10;
  await users(at, 1);
  await at.iterate(10);
  await advanceUntil(() => isOver(at));
  await advance(600_000);
  expect(await completions(at)).toEqual([]);
  expect(await statusOf(at)).toMatchObject({ status: "completed", errorMessage: "no completion" });
  const resumed = await at.mutate((ctx) => at.processor.resumeIterator(ctx, "job"));
  expect(resumed).toEqual({ jobId: "job", status: "completed" });
  await advance(1000);
  expect(await completions(at)).toHaveLength(1);
});
