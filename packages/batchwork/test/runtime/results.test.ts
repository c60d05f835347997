/** Results that another process is asked for, or that come from another one. */
import { DatabaseSync } from "node:sqlite";

import { describe, expect, test } from "vitest";

import type { Batch, BatchContext, ItemResults } from "../../src/index.ts";
import type { Batchwork } from "../../src/runtime/engine.ts";
import { Fixture, forever, Hold, numbers, outcomeOf, STORAGES, type Process } from "./fixture.ts";

const LIMITS = { name: "sums", maxSize: 10, maxWaitMs: 100 };

type Sums = Batch<number, number, ItemResults<number>>;

function double(ctx: BatchContext<number>): ItemResults<number> {
  return ctx.results(ctx.batch.map((item) => 2 * item));
}

function sums(
  bw: Batchwork,
  handler: (ctx: BatchContext<number>) => ItemResults<number> | Promise<ItemResults<number>>,
  options: object = {},
): Sums {
  return bw.batch<number, ItemResults<number>>({ ...LIMITS, handler, ...options });
}

/** A process that only submits: it is never started. */
function caller(f: Fixture): { readonly process: Process; readonly batch: Sums } {
  const process = f.process();
  return { process, batch: sums(process.bw, double) };
}

describe.each(STORAGES)("results over processes on %s storage", (kind) => {
  test("a process that handles nothing is told what others made of its items", async () => {
    const f = new Fixture(kind);
    const { batch } = caller(f);
    await f.started((bw) => sums(bw, double));
    const results = Promise.all(numbers(12).map(async (n) => batch.submit(n)));
    expect(await f.runFor(3000, results)).toEqual(numbers(12).map((n) => 2 * n));
  });

  test("it is told of deaths as well, also of those by crashes", async () => {
    const f = new Fixture(kind);
    const { batch } = caller(f);
    const { process } = await f.started((bw) => sums(bw, forever), { maxCrashes: 1 });
    const result = outcomeOf(batch.submit(1));
    await f.advance(200);
    process.kill();
    // Two more processes die with it: the first as they take it over, the second alone.
    const second = await f.started((bw) => sums(bw, forever), { maxCrashes: 1 });
    await f.advance(20_000);
    second.process.kill();
    await f.started((bw) => sums(bw, double), { maxCrashes: 1 });
    expect(await f.runFor(40_000, result)).toBe("ITEM_FAILED");
  });

  test("when its process dies another one finishes the item, and the caller is told", async () => {
    const f = new Fixture(kind);
    const { batch } = caller(f);
    const { process } = await f.started((bw) => sums(bw, forever));
    const result = batch.submit(4);
    await f.advance(200);
    process.kill();
    await f.started((bw) => sums(bw, double));
    expect(await f.runFor(30_000, result)).toBe(8);
  });

  test("a result is known to a process that comes later", async () => {
    const f = new Fixture(kind);
    const { process, batch } = await f.started((bw) => sums(bw, double, { maxWaitMs: 5000 }));
    const { id } = await f.run(batch.add(6, { keepResult: true }));
    expect(await f.run(batch.result(id))).toEqual({ status: "pending" });
    const waiting = batch.submit(7);
    await f.isPending(waiting);
    const stopping = process.bw.stop();
    expect(await outcomeOf(f.run(waiting))).toBe("STOPPED");
    await f.run(stopping);
    const { batch: later } = await f.started((bw) => sums(bw, double));
    expect(await f.runFor(6000, later.result(id, { timeoutMs: 6000 }))).toMatchObject({
      status: "succeeded",
      result: 12,
    });
    const { batch: last } = caller(f);
    expect(await f.run(last.result(id))).toMatchObject({ status: "succeeded", result: 12 });
  });

  test("result() tells what is known, and waits as long as it is told to", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const { batch } = await f.started((bw) =>
      sums(bw, async (ctx) => {
        await hold.wait();
        ctx.fail(1, new RangeError("too large"));
        return double(ctx);
      }),
    );
    const [good, bad] = await f.run(batch.addBulk([1, 2], { keepResult: true }));
    const [first, second] = [good?.id as string, bad?.id as string];
    await f.advance(200);
    expect(await f.run(batch.result(first))).toEqual({ status: "pending" });
    expect(await f.runFor(300, batch.result(first, { timeoutMs: 300 }))).toEqual({
      status: "pending",
    });
    const awaited = batch.result(first, { timeoutMs: 10_000 });
    hold.releaseAll();
    expect(await f.runFor(100, awaited)).toEqual({
      status: "succeeded",
      result: 2,
      endedAt: expect.any(Date) as unknown,
    });
    const failed = await f.run(batch.result(second, { timeoutMs: 10_000 }));
    expect(failed).toMatchObject({ status: "failed", error: { name: "RangeError" } });
    expect(await f.run(batch.result("nothing", { timeoutMs: 10_000 }))).toEqual({
      status: "unknown",
    });
    const signal = AbortSignal.abort(new Error("no"));
    await expect(f.run(batch.result(first, { signal }))).rejects.toThrow("no");
  });

  test("results are kept for resultTtlMs, and those for ever stay", async () => {
    const f = new Fixture(kind);
    const { batch } = await f.started((bw) => sums(bw, double, { resultTtlMs: 60_000 }));
    const { batch: ever } = await f.started((bw) =>
      sums(bw, double, { name: "ever", resultTtlMs: Number.POSITIVE_INFINITY }),
    );
    const ids = await Promise.all(
      [batch, ever].map(async (one) => (await f.run(one.add(1, { keepResult: true }))).id),
    );
    await f.advance(30_000);
    const statuses = async (): Promise<string[]> => [
      (await f.run(batch.result(ids[0] as string))).status,
      (await f.run(ever.result(ids[1] as string))).status,
    ];
    expect(await statuses()).toEqual(["succeeded", "succeeded"]);
    await f.advance(61_000);
    expect(await statuses()).toEqual(["unknown", "succeeded"]);
    if (kind !== "sqlite") return;
    const database = new DatabaseSync(f.file);
    const rows = database.prepare("SELECT queue FROM batchwork_results").all();
    database.close();
    expect(rows).toHaveLength(1);
  });

  test("more callers than one look asks for are all told", async () => {
    const f = new Fixture(kind);
    const { process, batch } = caller(f);
    await f.started((bw) => sums(bw, double, { maxSize: 200, concurrency: 10 }));
    const results = Promise.all(numbers(1200).map(async (n) => batch.submit(n)));
    expect(await f.runFor(10_000, results)).toEqual(numbers(1200).map((n) => 2 * n));
    expect(process.count("findResults")).toBeLessThan(60);
  });

  test("a storage that fails for a while only takes longer", async () => {
    const f = new Fixture(kind);
    const { process, batch } = caller(f);
    await f.started((bw) => sums(bw, double));
    process.faults = ({ method, nth }) => {
      if (method !== "findResults" || nth > 3) return undefined;
      return { fail: nth % 2 === 0 ? "busy" : "before" };
    };
    const result = batch.submit(1);
    expect(await f.runFor(10_000, result)).toBe(2);
    expect(process.count("findResults")).toBeGreaterThan(3);
  });

  test("who waits alone asks less and less often", async () => {
    const f = new Fixture(kind);
    const { process, batch } = caller(f);
    const result = batch.submit(1);
    await f.advance(60_000);
    expect(await f.isPending(result)).toBe(true);
    expect(process.count("findResults")).toBeLessThan(70);
    const controller = new AbortController();
    const other = batch.result("1:0", { signal: controller.signal });
    await f.run(other);
    await f.run(process.bw.stop());
    expect(await outcomeOf(f.run(result))).toBe("STOPPED");
  });

  test("what is settled in this process is told without a look", async () => {
    const f = new Fixture(kind);
    const { process, batch } = await f.started((bw) => sums(bw, double, { maxWaitMs: 0 }));
    expect(await f.runFor(10, batch.submit(2))).toBe(4);
    expect(process.count("findResults")).toBe(0);
  });
});

test("a result is kept of an item that was added in a transaction of the caller's", async () => {
  const f = new Fixture("sqlite");
  const { batch } = await f.started((bw) => sums(bw, double));
  const handle = f.handle();
  handle.exec("BEGIN IMMEDIATE");
  const { id } = batch.addSync(3, { tx: handle, keepResult: true });
  handle.exec("COMMIT");
  expect(await f.runFor(2000, batch.result(id, { timeoutMs: 2000 }))).toMatchObject({ result: 6 });
  const key = { tx: handle, keepResult: true, idempotencyKey: "k" };
  handle.exec("BEGIN IMMEDIATE");
  const { id: keyed } = batch.addSync(4, key);
  handle.exec("COMMIT");
  expect(await f.runFor(2000, batch.submit(4, { idempotencyKey: "k" }))).toBe(8);
  expect(await f.run(batch.result(keyed))).toMatchObject({ result: 8 });
});
