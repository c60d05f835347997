/** What processes tell each other where the storage cannot see others' commits. */
import { onTestFinished, describe, expect, test } from "vitest";

import type { BatchworkOptions } from "../../src/runtime/batch-options.ts";
import type { Batchwork } from "../../src/runtime/engine.ts";
import { memory } from "../../src/storage/memory/index.ts";
import type { Storage, StorageEnv } from "../../src/storage/storage.ts";
import { Fixture, Hold, itemsOf, numbers, recorder } from "./fixture.ts";

const HOUR_MS = 3_600_000;
const LIMITS = { name: "events", maxSize: 10, maxWaitMs: 60_000 };

/** Storages on the same data that see no commit of each other, but pass announcements on. */
class Announcing {
  readonly fixture: Fixture;
  /** What was announced, with the time. */
  readonly said: { readonly ms: number; readonly at: number }[] = [];
  readonly #data = memory({ payload: "text" });
  readonly #ears = new Map<object, StorageEnv["announced"]>();

  constructor() {
    this.fixture = new Fixture("memory");
    onTestFinished(async () => this.#data.close());
  }

  storage(): Storage {
    const view: Storage = this.#data.view();
    const open = view.open.bind(view);
    return Object.assign(view, {
      changed: () => false,
      open: async (env: StorageEnv) => {
        this.#ears.set(view, env.announced);
        await open(env);
      },
      announce: (ms: number) => {
        this.said.push({ ms, at: this.fixture.clock.monotonicMs() });
        for (const [ear, announced] of this.#ears) if (ear !== view) announced?.(ms);
      },
    });
  }

  /** Options of an engine that looks by itself once an hour. */
  options(): Partial<BatchworkOptions> {
    return { storage: this.storage(), tickIntervalMs: HOUR_MS };
  }
}

describe("processes that tell each other", () => {
  test("a process that only adds tells when a batch is due, once, and when one is full", async () => {
    const a = new Announcing();
    const { fixture: f } = a;
    const adder = f.process(a.options()).bw.batch({ ...LIMITS, handler: () => undefined });
    for (let n = 0; n < 9; n++) {
      await f.run(adder.add(n));
      await f.advance(1000);
    }
    expect(a.said).toEqual([{ ms: 60_000, at: 0 }]);
    await f.run(adder.add(9));
    expect(a.said).toEqual([
      { ms: 60_000, at: 0 },
      { ms: 0, at: 9000 },
    ]);
    // The others look when the first was due; from then on there is a first one again.
    await f.advance(51_000);
    await f.run(adder.add(10));
    expect(a.said.slice(2)).toEqual([{ ms: 60_000, at: 60_000 }]);
  });

  test("who hears of it hands the items over on time, full or due", async () => {
    const a = new Announcing();
    const { fixture: f } = a;
    const { deliveries, handler } = recorder<number>(f.clock);
    await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }), a.options());
    const adder = f.process(a.options()).bw.batch<number>({ ...LIMITS, handler });
    await f.advance(1000);
    await f.run(adder.addBulk(numbers(3)));
    await f.advance(60_000);
    await f.run(adder.addBulk(numbers(10)));
    await f.advance(0);
    expect(deliveries.map(({ items, at }) => [items.length, at])).toEqual([
      [3, 61_000],
      [10, 61_000],
    ]);
  });

  test("a process with a free hand tells nobody of what it adds", async () => {
    const a = new Announcing();
    const { fixture: f } = a;
    const { deliveries, handler } = recorder<number>(f.clock);
    const definition = { ...LIMITS, concurrency: 20, handler };
    const { batch } = await f.started((bw) => bw.batch<number>(definition), a.options());
    for (let n = 0; n < 100; n += 5) {
      await f.run(batch.addBulk(numbers(5).map((one) => one + n)));
      await f.advance(100);
    }
    expect(itemsOf(deliveries)).toEqual(numbers(100));
    expect(a.said).toEqual([]);
  });

  test("a process without one tells the others, who take it", async () => {
    const a = new Announcing();
    const { fixture: f } = a;
    const hold = new Hold();
    const busy = recorder<number>(f.clock, () => hold.wait());
    const idle = recorder<number>(f.clock);
    const define = { ...LIMITS, concurrency: 1 };
    const { batch } = await f.started(
      (bw) => bw.batch<number>({ ...define, handler: busy.handler }),
      a.options(),
    );
    await f.started((bw) => bw.batch<number>({ ...define, handler: idle.handler }), a.options());
    await f.run(batch.addBulk(numbers(30)));
    await f.advance(1000);
    expect([busy, idle].map(({ deliveries }) => deliveries.length)).toEqual([1, 2]);
    await f.run(batch.addBulk(numbers(10)));
    await f.advance(1000);
    expect(idle.deliveries).toHaveLength(3);
    hold.releaseAll();
  });

  test("an add in somebody's transaction is told of when that has probably committed", async () => {
    const a = new Announcing();
    const { fixture: f } = a;
    const process = f.process(a.options());
    const batch = process.bw.batch<number>({ ...LIMITS, handler: () => undefined });
    const within = process.storage.append.bind(process.storage);
    process.storage.appendWithin = async (_tx, chunks) => within(chunks);
    await f.run(batch.add(1, { tx: "open" }));
    await f.run(batch.add(2, { tx: "open" }));
    expect(a.said.every(({ ms }) => ms === 60_000)).toBe(true);
    await f.advance(99);
    expect(a.said.some(({ ms }) => ms === 0)).toBe(false);
    await f.advance(1);
    expect(a.said.filter(({ ms }) => ms === 0)).toEqual([{ ms: 0, at: 100 }]);
  });

  test("however often it is told, a process looks at most once per pollMs", async () => {
    const a = new Announcing();
    const { fixture: f } = a;
    const teller = a.storage();
    const { process } = await f.started((bw) => bw.batch({ ...LIMITS, handler: () => undefined }), {
      ...a.options(),
      pollMs: 50,
    });
    await f.advance(1000);
    const before = process.count("exchange");
    for (let n = 0; n < 1000; n++) {
      teller.announce?.(0);
      await f.advance(1);
    }
    expect(process.count("exchange") - before).toBeGreaterThanOrEqual(19);
    expect(process.count("exchange") - before).toBeLessThanOrEqual(22);
  });

  test("a flush that another process carries out is heard of within about the time it took", async () => {
    const a = new Announcing();
    const { fixture: f } = a;
    const { handler } = recorder<number>(f.clock, async () => f.clock.after(400, () => undefined));
    await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }), a.options());
    const adder = f.process(a.options());
    const batch = adder.bw.batch<number>({ ...LIMITS, handler });
    await f.run(batch.addBulk(numbers(3)));
    const flushed = batch.flush();
    await f.advance(1000);
    expect(await f.isPending(flushed)).toBe(false);
    expect(adder.count("outstanding")).toBeLessThan(10);
  });
});

describe("an idle engine whose storage is told of others' work", () => {
  test("asks less than once a second, whatever the number of its queues", async () => {
    const a = new Announcing();
    const { fixture: f } = a;
    const define = (bw: Batchwork): void => {
      for (let n = 0; n < 50; n++) {
        const deadLetter = { enabled: true, onDead: () => undefined };
        bw.batch({ ...LIMITS, name: `events-${n}`, handler: () => undefined, deadLetter });
      }
    };
    const { process } = await f.started(define, { storage: a.storage() });
    await f.advance(60_000);
    const before = process.calls.length;
    await f.advance(600_000);
    const calls = process.calls.length - before;
    expect(calls).toBeGreaterThan(300);
    expect(calls).toBeLessThan(600);
  });
});
