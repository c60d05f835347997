/** `submit`: the caller awaits its own item's result. */
import { describe, expect, expectTypeOf, test } from "vitest";

import type { Batch, BatchContext, ItemResults } from "../../src/index.ts";
import type { Batchwork } from "../../src/runtime/engine.ts";
import { effectsIn, Fixture, Hold, numbers, outcomeOf, STORAGES } from "./fixture.ts";

const LIMITS = { name: "sums", maxSize: 10, maxWaitMs: 100 };

type Sums = Batch<number, number, ItemResults<number>>;

/** Doubles what it is given. */
function double(ctx: BatchContext<number>): ItemResults<number> {
  return ctx.results(ctx.batch.map((item) => 2 * item));
}

function sums(bw: Batchwork, handler = double, options: object = {}): Sums {
  return bw.batch<number, ItemResults<number>>({ ...LIMITS, handler, ...options });
}

describe.each(STORAGES)("submit on %s storage", (kind) => {
  test("each caller is told the result of its own item", async () => {
    const f = new Fixture(kind);
    const { batch } = await f.started((bw) => sums(bw));
    const results = Promise.all(numbers(25).map(async (n) => batch.submit(n)));
    expect(await f.runFor(100, results)).toEqual(numbers(25).map((n) => 2 * n));
  });

  test("the result is there after the retry that brings it", async () => {
    const f = new Fixture(kind);
    const { batch } = await f.started((bw) =>
      sums(
        bw,
        (ctx) => {
          if (ctx.attempt < 3) throw new Error("not yet");
          return ctx.results(ctx.batch.map(() => ctx.attempt));
        },
        { retries: { max: 2, baseDelay: 1000, strategy: "fixed" } },
      ),
    );
    const result = batch.submit(1);
    await f.advance(1500);
    expect(await f.isPending(result)).toBe(true);
    expect(await f.runFor(2000, result)).toBe(3);
  });

  test("an item that is dead rejects with what it failed with", async () => {
    const f = new Fixture(kind);
    const { batch } = await f.started((bw) =>
      sums(bw, (ctx) => {
        ctx.fail(1, new TypeError("no number"));
        return double(ctx);
      }),
    );
    const [good, bad] = [batch.submit(1), batch.submit(2)];
    await expect(f.runFor(100, bad)).rejects.toMatchObject({
      code: "ITEM_FAILED",
      value: expect.any(String) as unknown,
      cause: { name: "TypeError", message: "no number" },
    });
    expect(await f.run(good)).toBe(2);
  });

  test("bisecting finds the one that fails, and the others have their results", async () => {
    const f = new Fixture(kind);
    const { batch } = await f.started((bw) =>
      sums(
        bw,
        (ctx) => {
          if (ctx.batch.includes(5)) throw new Error("five");
          return double(ctx);
        },
        { onFailure: "bisect" },
      ),
    );
    const outcomes = Promise.all(
      numbers(8).map(async (n) =>
        batch.submit(n).catch((error: unknown) => outcomeOf(Promise.reject(error as Error))),
      ),
    );
    expect(await f.runFor(1000, outcomes)).toEqual([0, 2, 4, 6, 8, "ITEM_FAILED", 12, 14]);
  });

  test("a handler that says nothing of results is waited for all the same", async () => {
    const f = new Fixture(kind);
    const { batch } = await f.started((bw) =>
      bw.batch<number, void>({ ...LIMITS, handler: () => undefined }),
    );
    const result: Promise<unknown> = batch.submit(1);
    expect(await f.runFor(100, result)).toBeUndefined();
  });

  test("results commit with ctx.tx", async () => {
    const f = new Fixture(kind);
    const { batch } = await f.started((bw) => {
      const effects = effectsIn(f);
      return bw.batch<number, ItemResults<number>>({
        ...LIMITS,
        handler: async (ctx) =>
          ctx.tx((tx) => {
            for (const item of ctx.batch) effects.write(tx, item);
            return double(ctx);
          }),
      });
    });
    expect(await f.runFor(100, batch.submit(4))).toBe(8);
  });

  test("after ctx.tx has committed it is too late to say results", async () => {
    const f = new Fixture(kind);
    const { batch, process } = await f.started((bw) =>
      bw.batch<number, ItemResults<number>>({
        ...LIMITS,
        handler: async (ctx) => {
          await ctx.tx(() => undefined);
          return double(ctx);
        },
      }),
    );
    expect(await f.runFor(100, batch.submit(4))).toBeUndefined();
    const late = process.logs.find(({ level }) => level === "warn");
    expect(late?.fields["error"]).toMatchObject({ code: "TX_OVER" });
  });

  test("a result that cannot be stored fails its item, and no other", async () => {
    const f = new Fixture(kind);
    const { batch } = await f.started((bw) =>
      bw.batch<number, ItemResults<unknown>>({
        ...LIMITS,
        handler: (ctx) => ctx.results(ctx.batch.map((item) => (item === 2 ? () => item : item))),
      }),
    );
    const [good, bad] = [batch.submit(1), batch.submit(2)];
    await f.run(batch.add(2));
    const { code, cause } = await f.runFor(
      100,
      bad.then(
        () => ({ code: "", cause: undefined }),
        (error: unknown) => error as { code: string; cause: unknown },
      ),
    );
    expect(code).toBe("ITEM_FAILED");
    expect(cause).toMatchObject({ code: "RESULT_INVALID" });
    expect(await f.run(good)).toBe(1);
    // Nobody asked for the result of the third.
    expect(await f.run(batch.status())).toMatchObject({ dead: 1 });
  });

  test.each([[[]], [[1, 2]], ["12"], [undefined]])(
    "%j for one item is refused, and the attempt fails",
    async (values) => {
      const f = new Fixture(kind);
      const { batch } = await f.started((bw) =>
        sums(bw, (ctx) => ctx.results(values as readonly number[])),
      );
      await expect(f.runFor(100, batch.submit(1))).rejects.toMatchObject({
        code: "ITEM_FAILED",
        cause: { code: "RESULT_INVALID" },
      });
    },
  );

  test("results and items are any values that can be stored", async () => {
    const f = new Fixture(kind);
    const given = { at: new Date(5), n: 1n, of: new Map([[1, undefined]]) };
    const { batch } = await f.started((bw) =>
      bw.batch<typeof given, ItemResults<typeof given>>({
        ...LIMITS,
        handler: (ctx) => ctx.results(ctx.batch),
      }),
    );
    expect(await f.runFor(100, batch.submit(given))).toEqual(given);
  });

  test("each group has its own", async () => {
    const f = new Fixture(kind);
    const { batch } = await f.started((bw) =>
      bw.batch<number, ItemResults<string>>({
        ...LIMITS,
        groupBy: (item) => String(item % 2),
        handler: (ctx) => ctx.results(ctx.batch.map((item) => `${item} of ${ctx.groupKey}`)),
      }),
    );
    const results = Promise.all([1, 2, 3].map(async (n) => batch.submit(n)));
    expect(await f.runFor(100, results)).toEqual(["1 of 1", "2 of 0", "3 of 1"]);
  });

  test("after timeoutMs the caller is told the id, and the item goes on", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const { batch } = await f.started((bw) =>
      bw.batch<number, ItemResults<number>>({
        ...LIMITS,
        handler: async (ctx) => {
          await hold.wait();
          return double(ctx);
        },
      }),
    );
    const late = batch.submit(3, { timeoutMs: 500 });
    const error = await f.runFor(
      500,
      late.catch((reason: unknown) => reason as { code: string; value: string }),
    );
    expect(error).toMatchObject({ code: "RESULT_TIMEOUT", field: "timeoutMs" });
    const { value: id } = error as { readonly value: string };
    expect(await f.run(batch.result(id))).toEqual({ status: "pending" });
    hold.releaseAll();
    expect(await f.runFor(1000, batch.result(id, { timeoutMs: 1000 }))).toMatchObject({
      status: "succeeded",
      result: 6,
    });
  });

  test("a signal ends the waiting, not the item", async () => {
    const f = new Fixture(kind);
    const handled: number[] = [];
    const { batch } = await f.started((bw) =>
      sums(bw, (ctx) => {
        handled.push(...ctx.batch);
        return double(ctx);
      }),
    );
    const controller = new AbortController();
    const result = batch.submit(1, { signal: controller.signal });
    expect(await f.isPending(result)).toBe(true);
    const reason = new Error("no longer");
    controller.abort(reason);
    await expect(f.run(result)).rejects.toBe(reason);
    await expect(f.run(batch.submit(2, { signal: controller.signal }))).rejects.toBe(reason);
    await f.advance(100);
    expect(handled).toEqual([1]);
  });

  test("a repeat under an idempotency key has the first one's result", async () => {
    const f = new Fixture(kind);
    let calls = 0;
    const handler = (ctx: BatchContext<number>): ItemResults<number> => {
      calls++;
      return double(ctx);
    };
    const { batch } = await f.started((bw) => sums(bw, handler));
    const key = { idempotencyKey: "seven" };
    const results = Promise.all([batch.submit(7, key), batch.submit(7, key)]);
    expect(await f.runFor(100, results)).toEqual([14, 14]);
    expect(await f.run(batch.submit(7, key))).toBe(14);
    const { batch: other } = await f.started((bw) => sums(bw, handler));
    expect(await f.run(other.submit(7, key))).toBe(14);
    expect(calls).toBe(1);
    expect(await outcomeOf(f.run(other.submit(8, key)))).toBe("KEY_CONFLICT");
  });

  test("a repeat of what add() stored is told that nothing was kept", async () => {
    const f = new Fixture(kind);
    const { batch } = await f.started((bw) => sums(bw));
    const key = { idempotencyKey: "seven" };
    const { id } = await f.run(batch.add(7, key));
    const result = batch.submit(7, key);
    await expect(f.runFor(2000, result)).rejects.toMatchObject({
      code: "RESULT_UNKNOWN",
      value: id,
    });
    expect(await outcomeOf(f.run(batch.submit(7, key)))).toBe("RESULT_UNKNOWN");
  });

  test("it is refused with deduplicateBy, and so is keepResult", async () => {
    const f = new Fixture(kind);
    const { batch } = await f.started((bw) => sums(bw, double, { deduplicateBy: String }));
    expect(await outcomeOf(f.run(batch.submit(1)))).toBe("OPTION_INVALID");
    expect(await outcomeOf(f.run(batch.add(1, { keepResult: true })))).toBe("OPTION_INVALID");
    expect(await f.run(batch.getBufferSize())).toBe(0);
  });

  test.each([-1, 1.5, Number.NaN, "1"])("a timeoutMs of %j is refused", async (timeoutMs) => {
    const f = new Fixture(kind);
    const { batch } = await f.started((bw) => sums(bw));
    const options = { timeoutMs: timeoutMs as number };
    await expect(f.run(batch.submit(1, options))).rejects.toMatchObject({
      code: "OPTION_INVALID",
      field: "timeoutMs",
    });
    expect(await outcomeOf(f.run(batch.result("1:0", options)))).toBe("OPTION_INVALID");
    expect(await f.run(batch.getBufferSize())).toBe(0);
  });

  test("what hooks.beforeFlush leaves out is told so, and what it keeps has its result", async () => {
    const f = new Fixture(kind);
    const { batch } = await f.started((bw) =>
      bw.batch<{ n: number }, ItemResults<number>>({
        ...LIMITS,
        hooks: {
          beforeFlush: (items) => {
            for (const item of items) item.n += 100;
            return items.filter(({ n }) => n !== 101).toReversed();
          },
        },
        retries: { max: 1, baseDelay: 0 },
        handler: (ctx) => {
          if (ctx.attempt === 1) throw new Error("once more");
          return ctx.results(ctx.batch.map(({ n }) => n));
        },
      }),
    );
    const results = [{ n: 1 }, { n: 2 }, { n: 3 }].map(async (item) => batch.submit(item));
    const [out, ...kept] = results as [Promise<number>, ...Promise<number>[]];
    await expect(f.runFor(2000, out)).rejects.toMatchObject({ code: "ITEM_LEFT_OUT" });
    expect(await f.run(Promise.all(kept))).toEqual([102, 103]);
  });

  test("when hooks.beforeFlush leaves out all, all are told so", async () => {
    const f = new Fixture(kind);
    const { batch } = await f.started((bw) =>
      sums(bw, double, { hooks: { beforeFlush: () => [] } }),
    );
    const outcomes = Promise.all([1, 2].map(async (n) => outcomeOf(batch.submit(n))));
    expect(await f.runFor(100, outcomes)).toEqual(["ITEM_LEFT_OUT", "ITEM_LEFT_OUT"]);
  });

  test("dead letters show the item that was submitted, and redriving hands it over", async () => {
    const f = new Fixture(kind);
    const seen: unknown[] = [];
    const { batch } = await f.started((bw) =>
      sums(bw, (ctx) => {
        seen.push(...ctx.batch);
        if (seen.length === 1) throw new Error("once");
        return double(ctx);
      }),
    );
    expect(await outcomeOf(f.runFor(100, batch.submit(5)))).toBe("ITEM_FAILED");
    expect(await f.run(batch.deadLetters.list())).toMatchObject([{ item: 5 }]);
    await f.run(batch.deadLetters.redrive("all"));
    await f.advance(100);
    expect(seen).toEqual([5, 5]);
  });

  test("of items that nobody submitted nothing is written", async () => {
    const f = new Fixture(kind);
    const { batch, process } = await f.started((bw) => sums(bw));
    const ids = await f.run(batch.addBulk(numbers(5)));
    await f.advance(100);
    for (const { id } of ids) {
      expect(await f.run(batch.result(id))).toEqual({ status: "unknown" });
    }
    expect(process.count("findResults")).toBe(5);
  });

  test("without persistence it works in this process", async () => {
    const f = new Fixture(kind);
    const { batch } = await f.started((bw) => sums(bw, double, { persist: false }));
    const given = batch.submit(21);
    expect(await f.runFor(100, given)).toBe(42);
  });
});

test("the result has the type that the handler gives it", async () => {
  const { bw } = new Fixture("memory").process();
  const typed = bw.batch({
    ...LIMITS,
    handler: async (ctx: BatchContext<string>) =>
      ctx.results(ctx.batch.map(({ length }) => length)),
  });
  expectTypeOf<(typeof typed)["submit"]>().returns.resolves.toEqualTypeOf<number>();
  expectTypeOf<(typeof typed)["submit"]>().parameter(0).toEqualTypeOf<string>();
  const plain = bw.batch({
    ...LIMITS,
    name: "plain",
    handler: async (ctx: BatchContext<string>) => void ctx.batch,
  });
  expectTypeOf<(typeof plain)["submit"]>().returns.resolves.toEqualTypeOf<void>();
  const loose = bw.batch<string>({ ...LIMITS, name: "loose", handler: (ctx) => ctx.batch });
  expectTypeOf<(typeof loose)["submit"]>().returns.resolves.toEqualTypeOf<unknown>();
  expect(typed.name).toBe("sums");
});
