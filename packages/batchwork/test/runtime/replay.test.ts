/** `removeOnComplete`, `removeOnFail` and `replay`: what is kept of work that is over. */
import { describe, expect, test } from "vitest";

import type { Batch } from "../../src/runtime/accumulator.ts";
import type { BatchOptions } from "../../src/runtime/batch-options.ts";
import type { Batchwork } from "../../src/runtime/engine.ts";
import { Fixture, numbers, outcomeOf, recorder, STORAGES } from "./fixture.ts";

const OPTIONS = {
  name: "orders",
  maxSize: 10,
  maxWaitMs: 1000,
  handler: () => undefined,
} satisfies BatchOptions<number>;

const MINUTE_MS = 60_000;

function defining(options: Partial<BatchOptions<number>>): (bw: Batchwork) => Batch<number> {
  return (bw) => bw.batch<number>({ ...OPTIONS, ...options });
}

/** Adds so many batches of ten and lets them be done. */
async function finish(f: Fixture, batch: Batch<number>, count: number): Promise<string[]> {
  for (let n = 0; n < count; n++) {
    await f.run(batch.addBulk(numbers(10)));
    await f.advance(100);
  }
  return (await f.run(batch.history())).map(({ batchId }) => batchId);
}

describe.each(STORAGES)("what is kept on %s storage", (kind) => {
  test("a kept batch is replayed with the same items, new ids and its own history", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { batch } = await f.started(defining({ removeOnComplete: 5, handler }));
    const [first = ""] = await finish(f, batch, 1);
    const { batchId } = await f.run(batch.replay(first));
    await f.advance(1000);
    expect(deliveries.map(({ id }) => id)).toEqual([first, batchId]);
    expect(deliveries[1]?.items).toEqual(deliveries[0]?.items);
    expect(deliveries[1]?.itemIds).not.toEqual(deliveries[0]?.itemIds);
    const [replay, original] = await f.run(batch.history());
    expect(replay).toMatchObject({ batchId, parentId: first, rootId: first, kept: true });
    expect(original).toMatchObject({ batchId: first, parentId: null, kept: true });
  });

  test("a replay has its attempts, and its failures are dead letters of its own", async () => {
    const f = new Fixture(kind);
    let fails = false;
    const { batch } = await f.started(
      defining({
        removeOnComplete: false,
        retries: { max: 1, strategy: "fixed", baseDelay: 100 },
        handler: () => {
          if (fails) throw new Error("no luck");
        },
      }),
    );
    const [first = ""] = await finish(f, batch, 1);
    fails = true;
    const { batchId } = await f.run(batch.replay(first));
    await f.advance(1000);
    const letters = await f.run(batch.deadLetters.list());
    expect(letters).toHaveLength(10);
    expect(letters[0]).toMatchObject({ batchId, attempts: 2 });
    expect(await outcomeOf(f.run(batch.replay(batchId)))).toBe("NOT_KEPT");
  });

  test("what was not kept says so, and what is no batch as well", async () => {
    const f = new Fixture(kind);
    const { batch } = await f.started(defining({}));
    const [first = ""] = await finish(f, batch, 1);
    expect((await f.run(batch.history()))[0]?.kept).toBe(false);
    await expect(f.run(batch.replay(first))).rejects.toMatchObject({
      code: "NOT_KEPT",
      field: "batchId",
      value: first,
    });
    expect(await outcomeOf(f.run(batch.replay("no batch")))).toBe("OPTION_INVALID");
  });

  test("batches beyond removeOnComplete are forgotten within a minute or so", async () => {
    const f = new Fixture(kind);
    const { batch } = await f.started(defining({ removeOnComplete: { count: 3 } }));
    const ids = await finish(f, batch, 5);
    await f.advance(2 * MINUTE_MS);
    expect((await f.run(batch.history())).map(({ batchId }) => batchId)).toEqual(ids.slice(0, 3));
    expect(await outcomeOf(f.run(batch.replay(ids[4] as string)))).toBe("NOT_KEPT");
  });

  test("an age is in seconds", async () => {
    const f = new Fixture(kind);
    const { batch } = await f.started(defining({ removeOnComplete: { age: 600 } }));
    await finish(f, batch, 2);
    await f.advance(9 * MINUTE_MS);
    expect(await f.run(batch.history())).toHaveLength(2);
    await f.advance(2 * MINUTE_MS);
    expect(await f.run(batch.history())).toEqual([]);
  });

  test("true keeps nothing", async () => {
    const f = new Fixture(kind);
    const { batch } = await f.started(defining({ removeOnComplete: true }));
    const [first = ""] = await finish(f, batch, 2);
    expect(await outcomeOf(f.run(batch.replay(first)))).toBe("NOT_KEPT");
    await f.advance(2 * MINUTE_MS);
    expect(await f.run(batch.history())).toEqual([]);
  });

  test("what ctx.tx acknowledges is kept as well", async () => {
    const f = new Fixture(kind);
    const { batch } = await f.started(
      defining({ removeOnComplete: 5, handler: (ctx) => ctx.tx(() => undefined) }),
    );
    const [first = ""] = await finish(f, batch, 1);
    await f.run(batch.replay(first));
    await f.advance(1000);
    expect(await f.run(batch.history())).toHaveLength(2);
  });

  test("dead letters beyond removeOnFail are forgotten once onDead was told of them", async () => {
    const f = new Fixture(kind);
    let told = 0;
    let broken = true;
    const { batch } = await f.started(
      defining({
        removeOnFail: true,
        deadLetter: {
          enabled: true,
          onDead: () => {
            if (broken) throw new Error("nobody answers");
            told++;
          },
        },
        handler: () => {
          throw new Error("no luck");
        },
      }),
    );
    await f.run(batch.addBulk(numbers(10)));
    await f.advance(MINUTE_MS);
    expect(await f.run(batch.deadLetters.list())).toHaveLength(10);
    broken = false;
    await f.advance(20 * MINUTE_MS);
    expect(told).toBeGreaterThan(0);
    expect(await f.run(batch.deadLetters.list())).toEqual([]);
  });

  test("dead letters are kept for ever without removeOnFail", async () => {
    const f = new Fixture(kind);
    const { batch } = await f.started(
      defining({
        handler: () => {
          throw new Error("no luck");
        },
      }),
    );
    await f.run(batch.addBulk(numbers(10)));
    await f.advance(10 * MINUTE_MS);
    expect(await f.run(batch.deadLetters.list())).toHaveLength(10);
  });
});
