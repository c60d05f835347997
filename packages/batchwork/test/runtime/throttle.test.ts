/** `throttle`: how often handlers begin, over all processes. */
import { describe, expect, test } from "vitest";

import type { Batch } from "../../src/runtime/accumulator.ts";
import type { BatchContext } from "../../src/runtime/context.ts";
import type { Batchwork } from "../../src/runtime/engine.ts";
import { Fixture, numbers, STORAGES } from "./fixture.ts";

const SPAN_MS = 10_000;

const LIMITS = {
  name: "orders",
  maxSize: 1,
  maxWaitMs: 0,
  throttle: { max: 3, duration: SPAN_MS },
};

/** When handlers began, and with what. */
class Starts {
  readonly times: number[] = [];
  readonly items: number[] = [];
  readonly #f: Fixture;

  constructor(f: Fixture) {
    this.#f = f;
  }

  readonly handler = (ctx: BatchContext<number>): void => {
    this.times.push(this.#f.clock.monotonicMs());
    this.items.push(...ctx.batch);
  };

  /** The most that began in any span. */
  get most(): number {
    const inSpan = (from: number): number =>
      this.times.filter((at) => at >= from && at < from + SPAN_MS).length;
    return Math.max(0, ...this.times.map(inSpan));
  }
}

describe.each(STORAGES)("a throttle on %s storage", (kind) => {
  test("no more handlers begin in any span than it allows", async () => {
    const f = new Fixture(kind);
    const starts = new Starts(f);
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, handler: starts.handler }),
    );
    await f.run(batch.addBulk(numbers(10)));
    await f.advance(SPAN_MS - 100);
    expect(starts.times).toHaveLength(3);
    await f.advance(5 * SPAN_MS);
    expect(starts.items).toEqual(numbers(10));
    expect(starts.most).toBe(3);
  });

  test("two processes share what it allows", async () => {
    const f = new Fixture(kind);
    const starts = new Starts(f);
    const define = (bw: Batchwork): Batch<number> =>
      bw.batch<number>({ ...LIMITS, handler: starts.handler });
    const { batch } = await f.started(define);
    await f.started(define);
    await f.run(batch.addBulk(numbers(12)));
    await f.advance(6 * SPAN_MS);
    expect(starts.items.toSorted((a, b) => a - b)).toEqual(numbers(12));
    expect(starts.most).toBe(3);
  });

  test("what was missed is not made up for after a quiet time", async () => {
    const f = new Fixture(kind);
    const starts = new Starts(f);
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, handler: starts.handler }),
    );
    await f.advance(10 * SPAN_MS);
    await f.run(batch.addBulk(numbers(10)));
    await f.advance(SPAN_MS - 100);
    expect(starts.times).toHaveLength(3);
  });

  test("retries count, and so does each part of a batch that is cut in two", async () => {
    const f = new Fixture(kind);
    const starts = new Starts(f);
    const { batch } = await f.started((bw) =>
      bw.batch<number>({
        ...LIMITS,
        maxSize: 4,
        onFailure: "bisect",
        retries: { max: 1, strategy: "fixed", baseDelay: 1 },
        handler: (ctx) => {
          starts.handler(ctx);
          if (ctx.batch.includes(2)) throw new Error("no luck");
        },
      }),
    );
    await f.run(batch.addBulk(numbers(4)));
    await f.advance(SPAN_MS - 100);
    // Four, then both halves.
    expect(starts.items).toHaveLength(8);
    await f.advance(5 * SPAN_MS);
    expect(starts.times).toHaveLength(6);
    expect(starts.most).toBe(3);
    expect((await f.run(batch.status())).dead).toBe(1);
  });

  test("flush() waits for it, and is not in vain", async () => {
    const f = new Fixture(kind);
    const starts = new Starts(f);
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, maxSize: 2, maxWaitMs: 3_600_000, handler: starts.handler }),
    );
    await f.run(batch.addBulk(numbers(9)));
    const flushing = batch.flush();
    await f.advance(SPAN_MS - 100);
    expect(await f.isPending(flushing)).toBe(true);
    expect(starts.times).toHaveLength(3);
    await f.advance(2 * SPAN_MS);
    await flushing;
    expect(starts.items).toEqual(numbers(9));
    expect(starts.most).toBe(3);
  });

  test("status() says until when nothing is handed over, also where nothing runs", async () => {
    const f = new Fixture(kind);
    const starts = new Starts(f);
    const define = (bw: Batchwork): Batch<number> =>
      bw.batch<number>({ ...LIMITS, handler: starts.handler });
    const { batch } = await f.started(define);
    expect((await f.run(batch.status())).throttledUntil).toBeNull();
    await f.run(batch.addBulk(numbers(4)));
    await f.advance(1000);
    const { throttledUntil, waiting } = await f.run(batch.status());
    expect(waiting).toBe(1);
    const left = (throttledUntil?.getTime() ?? 0) - f.clock.wallMs();
    expect(left).toBeGreaterThan(SPAN_MS - 2000);
    expect(left).toBeLessThanOrEqual(SPAN_MS);
    const elsewhere = define(f.process().bw);
    expect((await f.run(elsewhere.status())).throttledUntil).toEqual(throttledUntil);
  });

  test("another definition is not held back", async () => {
    const f = new Fixture(kind);
    const starts = new Starts(f);
    const free: number[] = [];
    const { batch } = await f.started((bw) => ({
      slow: bw.batch<number>({ ...LIMITS, handler: starts.handler }),
      other: bw.batch<number>({
        name: "other",
        maxSize: 1,
        maxWaitMs: 0,
        handler: (ctx) => void free.push(...ctx.batch),
      }),
    }));
    await f.run(Promise.all([batch.slow.addBulk(numbers(5)), batch.other.addBulk(numbers(5))]));
    await f.advance(1000);
    expect(starts.times).toHaveLength(3);
    expect(free).toEqual(numbers(5));
  });

  test("a process that waits for it does not look again and again", async () => {
    const f = new Fixture(kind);
    const starts = new Starts(f);
    const { batch, process } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, handler: starts.handler }),
    );
    await f.run(batch.addBulk(numbers(9)));
    await f.advance(1000);
    const looks = process.count("exchange");
    await f.advance(5000);
    expect(process.count("exchange") - looks).toBeLessThanOrEqual(10);
  });

  test("persist: false is throttled in its process", async () => {
    const f = new Fixture(kind);
    const starts = new Starts(f);
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, persist: false, handler: starts.handler }),
    );
    await f.run(batch.addBulk(numbers(5)));
    await f.advance(SPAN_MS - 100);
    expect(starts.times).toHaveLength(3);
    await f.advance(SPAN_MS);
    expect(starts.items).toEqual(numbers(5));
  });
});
