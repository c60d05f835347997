/** `deadLetter.onDead`: told of every death, at least once. */
import { describe, expect, test } from "vitest";

import type { Batch } from "../../src/runtime/accumulator.ts";
import type { DeadJob } from "../../src/runtime/dead-letters.ts";
import type { Batchwork } from "../../src/runtime/engine.ts";
import { ascending, Fixture, Hold, numbers, recorder, STORAGES } from "./fixture.ts";

const LIMITS = { name: "events", maxSize: 10, maxWaitMs: 1000 };

class RefusalError extends Error {
  override readonly name = "RefusalError";
  readonly code = "E_REFUSED";
}

function refuse(): never {
  throw new RefusalError("not today");
}

describe.each(STORAGES)("onDead on %s storage", (kind) => {
  test("it is told of the items that died together, with the error", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock, refuse);
    const told: { readonly job: DeadJob<number>; readonly error: Error }[] = [];
    const { batch } = await f.started((bw) =>
      bw.batch<number>({
        ...LIMITS,
        groupBy: () => "g",
        deadLetter: { enabled: true, onDead: (job, error) => told.push({ job, error }) },
        handler,
      }),
    );
    await f.run(batch.addBulk(numbers(3)));
    await f.advance(1000);
    expect(told).toHaveLength(1);
    const { job, error } = told[0] as (typeof told)[number];
    expect(job).toMatchObject({
      batchId: deliveries[0]?.id,
      name: "events",
      groupKey: "g",
      attempts: 1,
      items: numbers(3),
    });
    expect(job.letters).toEqual(await f.run(batch.deadLetters.list()));
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({ name: "RefusalError", message: "not today", code: "E_REFUSED" });
    expect(error.stack).toContain("on-dead.test.ts");
  });

  test("it is told once, of each batch by itself", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder<number>(f.clock, refuse);
    const told: DeadJob<number>[] = [];
    const { batch } = await f.started((bw) =>
      bw.batch<number>({
        ...LIMITS,
        deadLetter: { enabled: true, onDead: (job) => told.push(job) },
        handler,
      }),
    );
    await f.run(batch.addBulk(numbers(30)));
    await f.advance(600_000);
    expect(told.map(({ items }) => items.length)).toEqual([10, 10, 10]);
    expect(told.flatMap(({ items }) => items)).toEqual(numbers(30));
  });

  test("it is not called unless enabled; the letters are kept all the same", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder<number>(f.clock, refuse);
    const told: unknown[] = [];
    const onDead = (job: unknown): void => void told.push(job);
    const { batch: batches } = await f.started((bw) => [
      bw.batch<number>({ ...LIMITS, name: "a", deadLetter: { onDead }, handler }),
      bw.batch<number>({ ...LIMITS, name: "b", deadLetter: { enabled: false, onDead }, handler }),
      bw.batch<number>({ ...LIMITS, name: "c", deadLetter: { enabled: true }, handler }),
    ]);
    await f.run(Promise.all(batches.map((batch) => batch.add(1))));
    await f.advance(100_000);
    expect(told).toEqual([]);
    for (const batch of batches) expect(await f.run(batch.deadLetters.list())).toHaveLength(1);
  });

  test("a callback that throws is called again until it does not", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder<number>(f.clock, refuse);
    const at: number[] = [];
    const { process, batch } = await f.started((bw) =>
      bw.batch<number>({
        ...LIMITS,
        deadLetter: {
          enabled: true,
          onDead: async () => {
            at.push(f.clock.monotonicMs());
            if (at.length < 3) throw new Error("mail server down");
          },
        },
        handler,
      }),
    );
    await f.run(batch.add(1));
    await f.advance(600_000);
    expect(at).toHaveLength(3);
    expect((at[1] as number) - (at[0] as number)).toBeLessThanOrEqual(70_000);
    expect(process.logged("error")).toHaveLength(2);
  });

  test("when the process dies inside the callback, another one is told", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder<number>(f.clock, refuse);
    const told: string[] = [];
    const hold = new Hold();
    const start = (
      who: string,
    ): ReturnType<typeof f.started<{ add(n: number): Promise<unknown> }>> =>
      f.started((bw) =>
        bw.batch<number>({
          ...LIMITS,
          deadLetter: {
            enabled: true,
            onDead: async () => {
              told.push(who);
              if (who === "first") await hold.wait();
            },
          },
          handler,
        }),
      );
    const first = await start("first");
    await f.run(first.batch.add(1));
    await f.advance(1000);
    first.process.kill();
    await start("second");
    await f.advance(120_000);
    expect(told).toEqual(["first", "second"]);
  });

  test("letters from before the start are told of", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder<number>(f.clock, refuse);
    const hold = new Hold();
    const told: unknown[] = [];
    const options = { ...LIMITS, handler };
    const first = await f.started((bw) =>
      bw.batch<number>({ ...options, deadLetter: { enabled: true, onDead: () => hold.wait() } }),
    );
    await f.run(first.batch.add(1));
    await f.advance(1000);
    first.process.kill();
    await f.advance(120_000);
    await f.started((bw) =>
      bw.batch<number>({
        ...options,
        deadLetter: { enabled: true, onDead: ({ items }) => told.push(items) },
      }),
    );
    await f.advance(0);
    expect(told).toEqual([[1]]);
  });

  test("stop waits for the callback that is under way, but not longer than its grace", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder<number>(f.clock, refuse);
    const hold = new Hold();
    const start = async (): Promise<{ readonly bw: Batchwork; readonly batch: Batch<number> }> =>
      f.started((bw) =>
        bw.batch<number>({
          ...LIMITS,
          deadLetter: { enabled: true, onDead: () => hold.wait() },
          handler,
        }),
      );
    const patient = await start();
    await f.run(patient.batch.add(1));
    await f.advance(1000);
    expect(hold.waiting).toBe(1);
    const stopping = patient.bw.stop({ graceMs: 5000 });
    await f.advance(4000);
    expect(await f.isPending(stopping)).toBe(true);
    hold.release();
    await f.run(stopping);

    const hasty = await start();
    await f.run(hasty.batch.add(2));
    await f.advance(1000);
    expect(hold.waiting).toBe(1);
    const ending = hasty.bw.stop({ graceMs: 5000 });
    await f.advance(4999);
    expect(await f.isPending(ending)).toBe(true);
    await f.runFor(1, ending);
    expect(f.clock.timerCount).toBe(0);
  });

  test("stop calls no further callback; the next process does", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder<number>(f.clock, refuse);
    const hold = new Hold();
    const told: (readonly number[])[] = [];
    const define = (bw: Batchwork): Batch<number> =>
      bw.batch<number>({
        ...LIMITS,
        maxSize: 1,
        deadLetter: {
          enabled: true,
          onDead: async ({ items }) => {
            told.push(items);
            await hold.wait();
          },
        },
        handler,
      });
    const first = await f.started(define);
    await f.run(first.batch.addBulk([1, 2, 3]));
    await f.advance(1000);
    const stopping = first.bw.stop();
    await f.advance(1000);
    hold.releaseAll();
    await f.run(stopping);
    expect(told).toEqual([[1]]);
    await f.started(define);
    await f.advance(120_000);
    expect(told.flat().toSorted(ascending)).toEqual([1, 2, 3]);
  });

  test("a slow callback holds up no handler", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const { deliveries, handler } = recorder<string>(f.clock, ({ batch: [item] }) => {
      if (item === "bad") throw new Error("no");
    });
    const { batch } = await f.started((bw) =>
      bw.batch<string>({
        ...LIMITS,
        maxSize: 1,
        concurrency: 1,
        deadLetter: { enabled: true, onDead: () => hold.wait() },
        handler,
      }),
    );
    await f.run(batch.add("bad"));
    await f.advance(1000);
    expect(hold.waiting).toBe(1);
    await f.run(batch.addBulk(["a", "b", "c"]));
    await f.advance(0);
    expect(deliveries).toHaveLength(4);
    hold.releaseAll();
  });
});
