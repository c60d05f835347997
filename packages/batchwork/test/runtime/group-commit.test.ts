/** How many commits adds cost, what shares one, and in which order they land. */
import { describe, expect, test } from "vitest";

import type { NewChunk } from "../../src/storage/storage.ts";
import { Fixture, itemsOf, numbers, recorder, STORAGES } from "./fixture.ts";

const LIMITS = { name: "events", maxSize: 500, maxWaitMs: 1000 };

describe.each(STORAGES)("group commit on %s storage", (kind) => {
  test("all adds of one turn share one commit", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder<number>(f.clock);
    const { process, batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    await f.run(Promise.all(numbers(256).map((n) => batch.add(n))));
    expect(process.count("append")).toBe(1);
  });

  test("adds to several batches and groups share one commit", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder<number>(f.clock);
    const { process, batch } = await f.started((bw) => [
      bw.batch<number>({ ...LIMITS, name: "a", groupBy: (n) => String(n % 3), handler }),
      bw.batch<number>({ ...LIMITS, name: "b", handler }),
    ]);
    await f.run(Promise.all(batch.flatMap((one) => numbers(30).map((n) => one.add(n)))));
    expect(process.count("append")).toBe(1);
    expect(await f.run(Promise.all(batch.map((one) => one.getBufferSize())))).toEqual([30, 30]);
  });

  test("a bulk is one commit, however many chunks it makes", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder<number>(f.clock);
    const { process, batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, maxSize: 10, groupBy: (n) => String(n % 7), handler }),
    );
    await f.run(batch.addBulk(numbers(3000)));
    expect(process.count("append")).toBe(1);
  });

  test("chunks are small: at most maxSize, 500 items or 256 KiB", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder<string>(f.clock);
    const storage = f.connect();
    const append = storage.append.bind(storage);
    const chunks: NewChunk[] = [];
    storage.append = async (appended) => {
      chunks.push(...appended);
      return append(appended);
    };
    const { batch } = await f.started(
      (bw) => [
        bw.batch<string>({ ...LIMITS, name: "small", maxSize: 7, handler }),
        bw.batch<string>({ ...LIMITS, name: "large", maxSize: 100_000, handler }),
        bw.batch<string>({ ...LIMITS, name: "narrow", maxBytes: 100, handler }),
      ],
      { storage },
    );
    const few = numbers(1200).map((n) => `item ${n}`);
    const big = numbers(6).map(() => "x".repeat(100_000));
    await f.run(Promise.all(batch.map((one) => one.addBulk(few))));
    await f.run(batch[1]?.addBulk(big) as Promise<unknown>);
    const most = (queue: number, field: "count" | "bytes"): number =>
      Math.max(...chunks.filter((chunk) => chunk.queue === queue).map((chunk) => chunk[field]));
    expect([most(1, "count"), most(2, "count")]).toEqual([7, 500]);
    expect(most(2, "bytes")).toBeLessThanOrEqual(256 * 1024);
    expect(most(3, "bytes")).toBeLessThanOrEqual(100);
    expect(await f.run(batch[1]?.getBufferSize() as Promise<number>)).toBe(1206);
  });

  test("bulks of objects fill chunks, and give out ids, as single adds do", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder<{ n: number }>(f.clock);
    const storage = f.connect();
    const append = storage.append.bind(storage);
    const chunks: NewChunk[] = [];
    storage.append = async (appended) => {
      chunks.push(...appended);
      return append(appended);
    };
    const { batch } = await f.started(
      (bw) => [
        bw.batch<{ n: number }>({ ...LIMITS, maxSize: 10, handler }),
        bw.batch<{ n: number }>({ ...LIMITS, name: "narrow", maxSize: 10, maxBytes: 30, handler }),
      ],
      { storage },
    );
    const [wide, narrow] = batch as [(typeof batch)[number], (typeof batch)[number]];
    const items = numbers(7).map((n) => ({ n }));
    const bulks = [wide.addBulk(items), wide.addBulk(items), wide.addBulk(items)];
    const results = (await f.run(Promise.all(bulks))).flat();
    expect(chunks.map(({ count }) => count)).toEqual([10, 10, 1]);
    expect(chunks.map(({ bytes }) => bytes)).toEqual([70, 70, 7]);
    const indices = results.map(({ id }) => Number(id.split(":")[1]));
    expect(indices).toEqual([...numbers(10), ...numbers(10), 0]);
    expect(new Set(results.map(({ id }) => id)).size).toBe(21);
    chunks.length = 0;
    await f.run(narrow.addBulk(items));
    expect(chunks.every(({ bytes }) => bytes <= 30)).toBe(true);
    expect(chunks.map(({ count }) => count)).toEqual([4, 3]);
  });

  test("a bulk of several groups gives each item the id under which it is delivered", async () => {
    const f = new Fixture(kind);
    const delivered = new Map<string, number>();
    const { batch } = await f.started((bw) =>
      bw.batch<{ n: number; group: string; when?: Date }>({
        ...LIMITS,
        maxSize: 4,
        groupBy: ({ group }) => group,
        handler: async (ctx) => {
          for (const [at, { n }] of ctx.batch.entries()) {
            delivered.set(ctx.itemIds[at] as string, n);
          }
        },
      }),
    );
    const deal = (count: number, groups: number): { n: number; group: string; when?: Date }[] =>
      numbers(count).map((n) => {
        // One group has an item that plain JSON cannot say, so its items go in one by one.
        const when = n === 5 ? { when: new Date(0) } : {};
        return { n, group: `g${n % groups}`, ...when };
      });
    const bulks = [deal(30, 3), deal(20, 3), deal(10, 9)];
    const results = await f.run(Promise.all(bulks.map((items) => batch.addBulk(items))));
    await f.run(batch.flush());
    for (const [bulk, ids] of results.entries()) {
      const numbersOf = ids.map(({ id }) => delivered.get(id));
      expect(numbersOf).toEqual(bulks[bulk]?.map(({ n }) => n));
    }
    expect(delivered.size).toBe(60);
  });

  test("a bulk of nothing resolves and commits nothing", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder(f.clock);
    const { process, batch } = await f.started((bw) => bw.batch({ ...LIMITS, handler }));
    expect(await f.run(batch.addBulk([]))).toEqual([]);
    expect(process.count("append")).toBe(0);
  });

  test("adds that arrive while a commit is under way all share the next one", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder<number>(f.clock);
    const { process, batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    process.faults = ({ method }) => (method === "append" ? { delayAfterMs: 100 } : undefined);
    const adding = [batch.add(0)];
    for (let n = 1; n <= 50; n++) {
      await f.advance(1);
      adding.push(batch.add(n));
    }
    expect(process.count("append")).toBe(1);
    await f.runFor(200, Promise.all(adding));
    expect(process.count("append")).toBe(2);
  });

  test("callers that add again as soon as they may keep sharing commits", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder<number>(f.clock);
    const { process, batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    const callers = numbers(64).map(async () => {
      for (let n = 0; n < 10; n++) await batch.add(n);
    });
    await f.run(Promise.all(callers));
    expect(process.count("append")).toBe(10);
  });

  test("a commit is bounded: 45,000 items in one turn take three", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder<number>(f.clock);
    const sizes: number[] = [];
    const storage = f.connect();
    const append = storage.append.bind(storage);
    storage.append = async (chunks) => {
      sizes.push(chunks.reduce((sum, { count }) => sum + count, 0));
      return append(chunks);
    };
    const { batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }), {
      storage,
    });
    await f.run(Promise.all(numbers(9).map(() => batch.addBulk(numbers(5000)))));
    expect(sizes).toEqual([20_000, 20_000, 5000]);
  });

  test("a commit is bounded in bytes too", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder<string>(f.clock);
    const { process, batch } = await f.started((bw) => bw.batch<string>({ ...LIMITS, handler }));
    const mebibyte = Array.from({ length: 8 }, () => "x".repeat(128 * 1024 - 2));
    await f.run(Promise.all(numbers(33).map(() => batch.addBulk(mebibyte))));
    expect(process.count("append")).toBe(3);
  });

  test("items come out in the order in which they were added, over turns and commits", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { process, batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, maxSize: 30, concurrency: 1, handler }),
    );
    process.faults = ({ method }) => (method === "append" ? { delayBeforeMs: 3 } : undefined);
    const adding: Promise<unknown>[] = [];
    for (let n = 0; n < 100; n += 4) {
      adding.push(batch.add(n), batch.addBulk([n + 1, n + 2]), batch.add(n + 3));
      await f.advance(1);
    }
    await f.runFor(100, Promise.all(adding));
    await f.advance(1000);
    expect(itemsOf(deliveries)).toEqual(numbers(100));
  });

  test("a failed commit rejects only those it carried", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<string>(f.clock);
    const { process, batch } = await f.started((bw) => bw.batch<string>({ ...LIMITS, handler }));
    process.faults = ({ method, nth }) =>
      method === "append"
        ? { delayBeforeMs: 10, ...(nth === 1 ? { fail: "before" } : {}) }
        : undefined;
    const first = batch.add("first");
    first.catch(() => undefined);
    await f.advance(5);
    const second = batch.add("second");
    await f.advance(100);
    await expect(f.run(first)).rejects.toMatchObject({ code: "STORAGE_FAILED" });
    await expect(f.run(second)).resolves.toMatchObject({ duplicate: false });
    await f.advance(1000);
    expect(itemsOf(deliveries)).toEqual(["second"]);
  });
});
