/** What adding promises beyond storing an item, on every storage there is. */
import { describe, expect, test } from "vitest";
import * as z from "zod";

import { hasCode, QueueFullError, type Batch, type Batchwork } from "../../../src/index.ts";
import { homes, Busy, numbers, World } from "../pools/world.ts";
import { defining } from "./defining.ts";

/** The code of what a promise rejects with. */
async function codeOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
    return "fulfilled";
  } catch (error) {
    return hasCode(error, "STORAGE_FAILED") ? error : (error as { readonly code: unknown }).code;
  }
}

describe.each(homes())("adding on $name storage", (home) => {
  test("an idempotencyKey stores an item once, in whichever process, until keyTtlMs after its end", async () => {
    const world = await World.on(home);
    const seen: string[] = [];
    const define = defining<string>({
      keyTtlMs: 30_000,
      handler: (ctx) => void seen.push(...ctx.batch),
    });
    const { pool: batch } = await world.started(define);
    const { pool: other } = await world.started(define);
    const idempotencyKey = "order 1";
    const first = await world.run(batch.add("a", { idempotencyKey }));
    expect(first.duplicate).toBe(false);
    const again = { id: first.id, duplicate: true };
    expect(await world.run(other.add("a", { idempotencyKey }))).toEqual(again);
    expect(await world.run(codeOf(other.add("b", { idempotencyKey })))).toBe("KEY_CONFLICT");
    const keyed = { idempotencyKey: (item: string) => (item === "a" ? idempotencyKey : item) };
    expect(await world.run(batch.addBulk(["c", "a"], keyed))).toMatchObject([
      { duplicate: false },
      again,
    ]);
    await world.run(batch.flush());
    await world.advance(20_000, 1000);
    expect(await world.run(batch.add("a", { idempotencyKey }))).toEqual(again);
    await world.advance(20_000, 1000);
    expect(await world.run(batch.add("b", { idempotencyKey }))).toMatchObject({ duplicate: false });
    await world.run(batch.flush());
    expect(seen.toSorted()).toEqual(["a", "b", "c"]);
  });

  test("a schema refuses a bad item by its path, and what it makes of a good one is stored", async () => {
    const world = await World.on(home);
    const seen: unknown[] = [];
    const schema = z.object({ at: z.string().transform((text) => new Date(text)) });
    const { pool: batch } = await world.started((bw) =>
      bw.batch({
        name: "b",
        maxSize: 10,
        maxWaitMs: 60_000,
        schema,
        handler: (ctx) => void seen.push(...ctx.batch),
      }),
    );
    const bad = { at: 5 } as unknown as { at: string };
    const refused = batch.addBulk([{ at: "2026-01-01" }, bad]).catch((error: unknown) => error);
    expect(await world.run(refused)).toMatchObject({
      code: "ITEM_INVALID",
      field: "$.at",
      index: 1,
    });
    expect(await world.run(batch.getBufferSize())).toBe(0);
    await world.run(batch.add({ at: "2026-01-02" }));
    await world.run(batch.flush());
    expect(seen).toEqual([{ at: new Date("2026-01-02") }]);
  });

  test("maxPending refuses what is too much, over all processes, until something is done", async () => {
    const world = await World.on(home);
    const busy = new Busy();
    const define = defining<number>({ maxPending: { items: 10 }, handler: busy.handler });
    const { pool: batch } = await world.started(define);
    const { pool: other } = await world.started(define);
    await world.run(batch.addBulk(numbers(10)));
    await world.until(() => busy.running === 1);
    // Running items count as well.
    for (const one of [batch, other]) {
      const error = await world.run(one.add(1).catch((thrown: unknown) => thrown));
      expect(error).toBeInstanceOf(QueueFullError);
      expect(error).toMatchObject({ code: "QUEUE_FULL", field: "maxPending.items" });
    }
    busy.release();
    await world.until(async () => (await world.run(batch.status())).leased === 0);
    // What another process was given of the room comes back with its next heartbeats.
    await world.until(
      async () => (await world.run(codeOf(batch.addBulk(numbers(5))))) !== "QUEUE_FULL",
      500,
    );
    expect(await world.run(batch.getBufferSize())).toBe(5);
  });

  test("maxPending limits bytes", async () => {
    const world = await World.on(home);
    const { pool: batch } = await world.started(
      defining<string>({ maxSize: 1000, maxPending: { bytes: 5000 }, handler: () => undefined }),
    );
    await world.run(batch.add("x".repeat(3000)));
    const error = await world.run(batch.add("x".repeat(3000)).catch((thrown: unknown) => thrown));
    expect(error).toMatchObject({ code: "QUEUE_FULL", field: "maxPending.bytes" });
    await world.run(batch.add("x".repeat(1000)));
  });

  test("with the policy wait an add waits its turn until there is room", async () => {
    const world = await World.on(home);
    const busy = new Busy();
    const { pool: batch } = await world.started(
      defining<number>({
        maxSize: 5,
        maxPending: { items: 5, policy: "wait" },
        handler: busy.handler,
      }),
    );
    await world.run(batch.addBulk(numbers(5)));
    const order: string[] = [];
    const later = [3, 2].map(async (count) => {
      await batch.addBulk(numbers(count));
      order.push(`${count} items`);
    });
    await world.until(() => busy.running === 1);
    await world.advance(3000);
    expect(order).toEqual([]);
    busy.release();
    await world.run(Promise.all(later));
    expect(order).toEqual(["3 items", "2 items"]);
    await world.until(() => busy.running === 1);
    busy.release();
  });

  test.runIf(home.durable)(
    "within a transaction of the caller's nothing waits for room",
    async () => {
      const world = await World.on(home);
      const { pool: batch } = await world.started(
        defining<number>({
          maxSize: 100,
          maxPending: { items: 5, policy: "wait" },
          handler: () => undefined,
        }),
      );
      await world.run(batch.addBulk(numbers(5)));
      let code: unknown;
      await world.transaction(async (tx) => {
        code = await world.run(codeOf(batch.add(6, { tx })));
      }, "ROLLBACK");
      expect(code).toBe("QUEUE_FULL");
    },
  );

  test("submit resolves with the item's own result, whichever process has it, also after a retry", async () => {
    const world = await World.on(home);
    const { pool: asking } = await world.started((bw) =>
      bw.batch<number>({
        name: "b",
        maxSize: 10,
        maxWaitMs: 100,
        retries: { max: 1, baseDelay: 100 },
        handler: (ctx) => {
          if (ctx.attempt === 1) ctx.fail(0, new Error("again"));
          if (ctx.batch.includes(13)) throw new Error("thirteen");
          return ctx.results(ctx.batch.map((n) => ({ twice: 2 * n, at: new Date(n) })));
        },
      }),
    );
    const results = [asking.submit(4), asking.submit(5)];
    expect(await world.run(Promise.all(results))).toEqual([
      { twice: 8, at: new Date(4) },
      { twice: 10, at: new Date(5) },
    ]);
    const failed = asking.submit(13).catch((error: unknown) => error);
    expect(await world.run(failed)).toMatchObject({
      code: "ITEM_FAILED",
      cause: { message: "thirteen" },
    });
  });

  test("the result of a submitted item is known to other processes, and for resultTtlMs", async () => {
    const world = await World.on(home);
    const define = (bw: Batchwork): Batch<number> =>
      bw.batch<number>({
        name: "b",
        maxSize: 10,
        maxWaitMs: 100,
        resultTtlMs: 40_000,
        handler: (ctx) => ctx.results(ctx.batch.map((n) => 2 * n)),
      });
    // Nothing runs here: another process has the work.
    const asking = define(world.process().bw);
    const working = await world.started(define);
    expect(await world.run(asking.submit(21))).toBe(42);
    const { id } = await world.run(working.pool.add(4, { keepResult: true }));
    await world.run(working.pool.flush());
    await world.run(working.bw.stop({ graceMs: 0 }));
    const { pool: later } = await world.started(define);
    expect(await world.run(later.result(id))).toMatchObject({ status: "succeeded", result: 8 });
    await world.advance(120_000, 1000);
    expect(await world.run(later.result(id))).toEqual({ status: "unknown" });
  });
});
