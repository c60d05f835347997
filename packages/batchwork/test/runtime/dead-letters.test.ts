/** Dead letters: kept, listed, put back, thrown away. */
import { describe, expect, test } from "vitest";

import { Fixture, itemsOf, numbers, recorder, STORAGES, ascending } from "./fixture.ts";

const LIMITS = { name: "events", maxSize: 10, maxWaitMs: 1000 };

class RefusalError extends Error {
  override readonly name = "RefusalError";
  readonly code = "E_REFUSED";
}

describe.each(STORAGES)("dead letters on %s storage", (kind) => {
  test("a letter holds the item and all that is known of its death", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<{ at: Date }>(f.clock, () => {
      throw new RefusalError("not today");
    });
    const { batch } = await f.started((bw) =>
      bw.batch<{ at: Date }>({
        ...LIMITS,
        groupBy: () => "eu",
        retries: { max: 1, baseDelay: 500 },
        handler,
      }),
    );
    const { id } = await f.run(batch.add({ at: new Date(5) }));
    await f.advance(10_000);
    expect(await f.run(batch.deadLetters.list())).toEqual([
      {
        id: expect.any(Number) as unknown,
        item: { at: new Date(5) },
        itemId: id,
        groupKey: "eu",
        error: {
          name: "RefusalError",
          message: "not today",
          code: "E_REFUSED",
          stack: expect.stringContaining("dead-letters.test.ts") as unknown,
        },
        attempts: 2,
        crashes: 0,
        batchId: deliveries[0]?.id,
        diedAt: new Date(f.clock.wallMs() - 10_000 + 1500),
      },
    ]);
  });

  test("they are listed oldest first, a page at a time, and by group", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder<number>(f.clock, () => {
      throw new Error("no");
    });
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, groupBy: (n) => (n % 2 === 0 ? "even" : "odd"), handler }),
    );
    await f.run(batch.addBulk(numbers(250)));
    await f.advance(1000);
    const { deadLetters } = batch;
    const first = await f.run(deadLetters.list());
    expect(first).toHaveLength(100);
    const pages = [...first];
    for (;;) {
      const page = await f.run(deadLetters.list({ after: pages.at(-1)?.id ?? 0, limit: 70 }));
      if (page.length === 0) break;
      expect(page.length).toBeLessThanOrEqual(70);
      pages.push(...page);
    }
    const ids = pages.map(({ id }) => id);
    expect(ids).toEqual(ids.toSorted((a, b) => a - b));
    expect(pages.map(({ item }) => item).toSorted((a, b) => a - b)).toEqual(numbers(250));
    const odd = await f.run(deadLetters.list({ group: "odd", limit: 1000 }));
    expect(odd).toHaveLength(125);
    expect(odd.every(({ item, groupKey }) => item % 2 === 1 && groupKey === "odd")).toBe(true);
    expect(await f.run(deadLetters.list({ group: "nobody" }))).toEqual([]);
  });

  test("a page has a size from 1 to 1,000", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder<number>(f.clock);
    const { batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    for (const query of [{ limit: 0 }, { limit: 1001 }, { limit: 1.5 }, { after: -1 }]) {
      await expect(f.run(batch.deadLetters.list(query))).rejects.toMatchObject({
        code: "OPTION_INVALID",
        field: Object.keys(query)[0],
      });
    }
    await expect(f.run(batch.deadLetters.list({ limit: 1000 }))).resolves.toEqual([]);
  });

  test("one letter is found by its id, and only in its own batch", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder<string>(f.clock, () => {
      throw new Error("no");
    });
    const { batch: batches } = await f.started((bw) =>
      ["a", "b"].map((name) => bw.batch<string>({ ...LIMITS, name, handler })),
    );
    for (const batch of batches) await f.run(batch.addBulk([batch.name, batch.name]));
    await f.advance(1000);
    const [a, b] = batches.map((batch) => batch.deadLetters);
    const letters = await f.run(a?.list() as Promise<readonly { readonly id: number }[]>);
    const id = letters[1]?.id as number;
    expect(await f.run(a?.get(id) as Promise<unknown>)).toEqual(letters[1]);
    await expect(f.run(b?.get(id) as Promise<unknown>)).rejects.toMatchObject({
      code: "NOT_FOUND",
      value: id,
    });
    expect(await f.run(b?.redrive([id]) as Promise<number>)).toBe(0);
    expect(await f.run(b?.discard([id]) as Promise<number>)).toBe(0);
    expect(await f.run(a?.list() as Promise<unknown>)).toHaveLength(2);
  });

  test("redriven letters are delivered at once, with all their attempts", async () => {
    const f = new Fixture(kind);
    let broken = true;
    const { deliveries, handler } = recorder<number>(f.clock, () => {
      if (broken) throw new Error("no");
    });
    const { batch } = await f.started((bw) =>
      bw.batch<number>({
        ...LIMITS,
        groupBy: () => "g",
        retries: { max: 1, strategy: "fixed", baseDelay: 100 },
        handler,
      }),
    );
    await f.run(batch.addBulk(numbers(5)));
    await f.advance(5000);
    const letters = await f.run(batch.deadLetters.list());
    deliveries.length = 0;
    const ids = letters.slice(1, 3).map(({ id }) => id);
    expect(await f.run(batch.deadLetters.redrive([...ids, 999_999]))).toBe(2);
    await f.advance(100);
    expect(
      deliveries.map(({ items, attempt, groupKey, at }) => [items, attempt, groupKey, at]),
    ).toEqual([
      [[1, 2], 1, "g", 5000],
      [[1, 2], 2, "g", 5100],
    ]);
    expect(await f.run(batch.status())).toMatchObject({ dead: 5 });
    broken = false;
    deliveries.length = 0;
    expect(await f.run(batch.deadLetters.redrive("all"))).toBe(5);
    await f.advance(0);
    expect(itemsOf(deliveries).toSorted(ascending)).toEqual(numbers(5));
    expect(await f.run(batch.status())).toMatchObject({ dead: 0, waiting: 0, leased: 0 });
  });

  test("a letter whose items went through a split can be redriven", async () => {
    const f = new Fixture(kind);
    let broken = true;
    const { deliveries, handler } = recorder<number>(f.clock, (ctx) => {
      if (!broken) return;
      for (const [index, item] of ctx.batch.entries()) {
        if (item % 3 === 0) ctx.fail(index, new Error("third"));
      }
    });
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, maxSize: 7, retries: { max: 2, baseDelay: 10 }, handler }),
    );
    await f.run(batch.addBulk(numbers(21)));
    await f.advance(5000);
    broken = false;
    deliveries.length = 0;
    expect(await f.run(batch.deadLetters.redrive("all"))).toBe(7);
    await f.advance(0);
    expect(itemsOf(deliveries).toSorted((a, b) => a - b)).toEqual([0, 3, 6, 9, 12, 15, 18]);
  });

  test("discarded letters are gone", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock, () => {
      throw new Error("no");
    });
    const { batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    await f.run(batch.addBulk(numbers(4)));
    await f.advance(1000);
    const letters = await f.run(batch.deadLetters.list());
    const ids = letters.slice(0, 1).map(({ id }) => id);
    expect(await f.run(batch.deadLetters.discard(ids))).toBe(1);
    expect(await f.run(batch.deadLetters.discard(ids))).toBe(0);
    expect((await f.run(batch.deadLetters.list())).map(({ item }) => item)).toEqual([1, 2, 3]);
    expect(await f.run(batch.deadLetters.discard("all"))).toBe(3);
    expect(await f.run(batch.deadLetters.redrive("all"))).toBe(0);
    await f.advance(10_000);
    expect(deliveries).toHaveLength(1);
  });

  test("ids that are no ids are refused", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder<number>(f.clock);
    const { batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    const { deadLetters } = batch;
    for (const id of [0, -1, 1.5, Number.NaN]) {
      const calls = [deadLetters.get(id), deadLetters.redrive([id]), deadLetters.discard([id])];
      for (const outcome of await f.run(Promise.allSettled(calls))) {
        expect(outcome).toMatchObject({ status: "rejected", reason: { code: "OPTION_INVALID" } });
      }
    }
  });

  test("letters survive a restart", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder<number>(f.clock, () => {
      throw new Error("no");
    });
    const first = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    await f.run(first.batch.add(1));
    await f.advance(1000);
    await f.runFor(0, first.bw.stop());
    const second = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    expect(await f.run(second.batch.deadLetters.list())).toMatchObject([{ item: 1 }]);
  });
});
