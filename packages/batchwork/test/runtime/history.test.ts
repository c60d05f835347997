/** `history` and `explain`: what became of batches, and why the others wait. */
import { describe, expect, onTestFinished, test } from "vitest";

import type { Batch } from "../../src/runtime/accumulator.ts";
import type { BatchOptions } from "../../src/runtime/batch-options.ts";
import type { Batchwork } from "../../src/runtime/engine.ts";
import type { Explanation } from "../../src/runtime/explain.ts";
import { Fixture, numbers, outcomeOf, STORAGES } from "./fixture.ts";

const OPTIONS = {
  name: "orders",
  maxSize: 10,
  maxWaitMs: 60_000,
  handler: () => undefined,
} satisfies BatchOptions<number>;

const GROUPED = { ...OPTIONS, groupBy: (n: number) => (n % 2 === 0 ? "even" : "odd") };

type Define = (bw: Batchwork) => Batch<number>;

function defining(options: Partial<BatchOptions<number>> = {}): Define {
  return (bw) => bw.batch<number>({ ...OPTIONS, ...options });
}

/** A handler that ends when the test says so, or when the test is over. */
function held(): { readonly handler: () => Promise<void>; readonly end: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  onTestFinished(() => resolve());
  return { handler: () => promise, end: () => resolve() };
}

/** What `explain` answers, without what is looked at elsewhere. */
async function reason(f: Fixture, batch: Batch<number>, group?: string): Promise<unknown[]> {
  const { waitsFor, nextFlushAt } = await f.run(batch.explain(group));
  return [waitsFor, nextFlushAt === null ? null : nextFlushAt.getTime() - f.clock.wallMs()];
}

describe.each(STORAGES)("history on %s storage", (kind) => {
  test("tells size, group, reason, times and outcome of batches, newest first", async () => {
    const f = new Fixture(kind);
    const { batch } = await f.started((bw) =>
      bw.batch<number>({
        ...GROUPED,
        retries: { max: 1, strategy: "fixed", baseDelay: 5000 },
        handler: (ctx) => {
          if (ctx.attempt === 1 && ctx.batch.includes(0)) throw new Error("no luck");
        },
      }),
    );
    const wall = f.clock.wallMs();
    await f.run(batch.addBulk([0, 2, 4]));
    await f.advance(1000);
    await f.run(batch.addBulk(Array.from({ length: 10 }, (_, n) => 2 * n + 1)));
    await f.advance(70_000);
    const [even, odd] = await f.run(batch.history());
    expect(odd).toMatchObject({ groupKey: "odd", size: 10, attempts: 1, reason: "size" });
    expect(odd).toMatchObject({ outcome: "succeeded", error: undefined, parentId: null });
    expect(even).toMatchObject({ groupKey: "even", size: 3, attempts: 2, reason: "time" });
    expect(even?.sealedAt.getTime()).toBeGreaterThanOrEqual(wall + 60_000);
    const between = (even?.startedAt.getTime() ?? 0) - (even?.sealedAt.getTime() ?? 0);
    expect(between).toBeGreaterThanOrEqual(5000);
    expect(even?.durationMs).toBe(
      (even?.finishedAt.getTime() ?? 0) - (even?.startedAt.getTime() ?? 0),
    );
    const inGroup = await f.run(batch.history({ group: "odd" }));
    expect(inGroup.map(({ batchId }) => batchId)).toEqual([odd?.batchId]);
  });

  test("tells how long the handler took and what items failed with", async () => {
    const f = new Fixture(kind);
    const { handler, end } = held();
    const { batch } = await f.started(
      defining({
        retries: { max: 1, strategy: "fixed", baseDelay: 1 },
        handler: async (ctx) => {
          await handler();
          if (ctx.attempt === 1) ctx.fail(0, new Error("the first one"));
        },
      }),
    );
    await f.run(batch.addBulk(numbers(10)));
    await f.advance(2500);
    end();
    await f.advance(1000);
    const [child, parent] = await f.run(batch.history());
    expect(parent).toMatchObject({ outcome: "failed", size: 10, groupKey: undefined });
    expect(parent?.error?.message).toBe("the first one");
    expect(parent?.durationMs).toBeGreaterThanOrEqual(2400);
    expect(child).toMatchObject({ outcome: "succeeded", size: 1, attempts: 2 });
    expect(child).toMatchObject({ parentId: parent?.batchId, rootId: parent?.batchId });
  });

  test("comes in pages, also in a process that only looks", async () => {
    const f = new Fixture(kind);
    const { batch } = await f.started(defining({ maxSize: 1 }));
    await f.run(batch.addBulk(numbers(5)));
    await f.advance(1000);
    const elsewhere = defining()(f.process().bw);
    const all = (await f.run(elsewhere.history())).map(({ batchId }) => batchId);
    expect(all).toHaveLength(5);
    const first = await f.run(elsewhere.history({ limit: 2 }));
    const before = first[1]?.batchId ?? "";
    const rest = await f.run(elsewhere.history({ before }));
    expect([...first, ...rest].map(({ batchId }) => batchId)).toEqual(all);
  });

  test("refuses a limit or a cursor that is none", async () => {
    const f = new Fixture(kind);
    const batch = defining()(f.process().bw);
    for (const query of [{ limit: 0 }, { limit: 1001 }, { limit: 1.5 }, { before: "-1" }]) {
      expect(await outcomeOf(f.run(batch.history(query)))).toBe("OPTION_INVALID");
    }
  });
});

describe.each(STORAGES)("explain on %s storage", (kind) => {
  test("nothing waits, then size or time, and afterwards the last flushes", async () => {
    const f = new Fixture(kind);
    const { batch } = await f.started(defining());
    const none = await f.run(batch.explain());
    expect(none).toMatchObject({ waiting: 0, waitsFor: "nothing", nextFlushAt: null });
    expect(none.text).toBe("Nothing waits.");
    await f.run(batch.addBulk(numbers(3)));
    await f.advance(20_000);
    expect(await reason(f, batch)).toEqual(["size or time", expect.closeTo(40_000, -2)]);
    const { text, nextFlushAt, lastFlushes } = await f.run(batch.explain());
    expect(text).toBe(
      "3 items wait: a batch goes with 10 items, or when the oldest item has waited 60000 ms, " +
        `which is at ${nextFlushAt?.toISOString()}.`,
    );
    expect(lastFlushes).toEqual([]);
    for (let n = 0; n < 6; n++) await f.run(batch.addBulk(numbers(10)));
    await f.advance(1000);
    const after = await f.run(batch.explain());
    expect(after.lastFlushes).toEqual(await f.run(batch.history({ limit: 5 })));
    expect(after.lastFlushes).toHaveLength(5);
  });

  test("a pause and a process that is not started", async () => {
    const f = new Fixture(kind);
    const { batch } = await f.started(defining());
    await f.run(batch.addBulk(numbers(3)));
    const elsewhere = defining()(f.process().bw);
    expect(await reason(f, elsewhere)).toEqual(["start", null]);
    await f.run(batch.pause());
    expect(await reason(f, batch)).toEqual(["paused", null]);
    expect(await reason(f, elsewhere)).toEqual(["paused", null]);
    const { paused, text } = await f.run(batch.explain());
    expect({ paused, text }).toEqual({
      paused: true,
      text: "3 items wait: the batch is paused until resume() is called.",
    });
  });

  test("a throttle that is used up", async () => {
    const f = new Fixture(kind);
    const { batch } = await f.started(
      defining({ maxSize: 1, throttle: { max: 2, duration: 30_000 } }),
    );
    await f.run(batch.addBulk(numbers(5)));
    await f.advance(1000);
    const { waiting, waitsFor, nextFlushAt } = await f.run(batch.explain());
    const { throttledUntil } = await f.run(batch.status());
    expect({ waiting, waitsFor, nextFlushAt }).toEqual({
      waiting: 3,
      waitsFor: "throttle",
      nextFlushAt: throttledUntil,
    });
  });

  test("the delay before another attempt", async () => {
    const f = new Fixture(kind);
    const { batch } = await f.started(
      defining({
        retries: { max: 3, strategy: "fixed", baseDelay: 600_000 },
        handler: () => {
          throw new Error("no luck");
        },
      }),
    );
    await f.run(batch.addBulk(numbers(10)));
    await f.advance(1000);
    expect(await reason(f, batch)).toEqual(["backoff", null]);
    const { text } = await f.run(batch.explain());
    expect(text).toBe(
      "1 batch for another attempt waits: the delay before the next attempt is not over.",
    );
  });

  test("handlers of this process that are busy", async () => {
    const f = new Fixture(kind);
    const { handler, end } = held();
    const { batch } = await f.started(defining({ concurrency: 1, handler }));
    await f.run(batch.addBulk(numbers(20)));
    await f.advance(1000);
    expect(await reason(f, batch)).toEqual(["concurrency", null]);
    end();
    await f.advance(1000);
    const { waitsFor, text } = await f.run(batch.explain());
    expect({ waitsFor, text }).toEqual({ waitsFor: "nothing", text: "Nothing waits." });
  });

  test("a group that runs as many batches as it may, in one group and in all", async () => {
    const f = new Fixture(kind);
    const { handler } = held();
    const { batch } = await f.started((bw) => bw.batch<number>({ ...GROUPED, handler }));
    await f.run(batch.addBulk(Array.from({ length: 20 }, (_, n) => 2 * n)));
    await f.advance(1000);
    expect(await reason(f, batch, "even")).toEqual(["groupConcurrency", null]);
    expect(await reason(f, batch)).toEqual(["groupConcurrency", null]);
    await f.run(batch.addBulk([1, 3]));
    await f.advance(1000);
    expect(await reason(f, batch, "odd")).toEqual(["size or time", expect.any(Number)]);
    const odd: Explanation = await f.run(batch.explain("odd"));
    expect([odd.waiting, odd.groups]).toEqual([2, 1]);
    expect(odd.text).toContain('2 items wait in group "odd": ');
  });

  test("a batch whose process died and that has to run alone", async () => {
    const f = new Fixture(kind);
    const { handler, end } = held();
    const dying = await f.started(defining({ handler: held().handler }));
    await f.run(dying.batch.addBulk(numbers(10)));
    await f.advance(1000);
    const { batch } = await f.started(defining({ handler }));
    await f.run(dying.batch.addBulk(numbers(10)));
    await f.advance(1000);
    dying.process.kill();
    await f.run(batch.addBulk(numbers(10)));
    await f.advance(30_000);
    await f.run(batch.addBulk(numbers(10)));
    await f.advance(1000);
    expect(await reason(f, batch)).toEqual(["a process alone", null]);
    end();
    await f.advance(5000);
    expect(await reason(f, batch)).toEqual(["nothing", null]);
  });

  test("what is due and was not looked for yet", async () => {
    const f = new Fixture(kind);
    const { batch, process } = await f.started(defining());
    process.faults = ({ method }) => (method === "exchange" ? { fail: "busy" } : undefined);
    await f.run(batch.addBulk(numbers(10)));
    await f.advance(100);
    expect(await reason(f, batch)).toEqual(["next look", 0]);
  });
});
