/** Events: every step of a batch's life, told to whoever listens, who can do no harm. */
import { describe, expect, expectTypeOf, onTestFinished, test, vi } from "vitest";

import type { BatchContext } from "../../src/runtime/context.ts";
import type { Batchwork } from "../../src/runtime/engine.ts";
import {
  Emitter,
  type AddedEvent,
  type BatchEvents,
  type EngineEvents,
  type SucceededEvent,
} from "../../src/runtime/events.ts";
import { EVENTS } from "./event-names.ts";
import { Fixture, Hold, STORAGES } from "./fixture.ts";

const LIMITS = { name: "orders", maxSize: 3, maxWaitMs: 1000, tags: ["shop"] };

interface Heard {
  readonly event: keyof EngineEvents;
  readonly fields: Record<string, unknown>;
}

/** Notes all events of an engine. */
function listen(bw: Batchwork): Heard[] {
  const heard: Heard[] = [];
  for (const event of EVENTS) {
    bw.on(event, (fields) => void heard.push({ event, fields: { ...fields } }));
  }
  return heard;
}

function names(heard: readonly Heard[]): string[] {
  return heard.map(({ event }) => event);
}

function only(heard: readonly Heard[], event: keyof EngineEvents): Record<string, unknown>[] {
  return heard.filter((one) => one.event === event).map(({ fields }) => fields);
}

describe.each(STORAGES)("events on %s storage", (kind) => {
  test("a batch that succeeds is told of step by step", async () => {
    const f = new Fixture(kind);
    const { bw, batch } = await f.started((engine) =>
      engine.batch<number>({
        ...LIMITS,
        handler: async (ctx) => {
          await ctx.progress(50, "half");
          return "sent";
        },
      }),
    );
    const heard = listen(bw);
    const [first] = await f.run(batch.addBulk([1, 2, 3]));
    await f.advance(10_000);
    expect(names(heard)).toEqual([
      "added",
      "sealed",
      "claimed",
      "started",
      "progress",
      "succeeded",
    ]);
    const base = { name: "orders", tags: ["shop"] };
    const groupKey = undefined;
    const delivery = {
      ...base,
      batchId: expect.any(String) as unknown,
      groupKey,
      size: 3,
      attempt: 1,
    };
    expect(heard.map(({ fields }) => fields)).toEqual([
      { ...base, groupKey, count: 3, bytes: 3, firstId: first?.id, committed: true },
      { ...delivery, reason: "size", bytes: 3 },
      { ...delivery, reason: "size" },
      { ...delivery, reason: "size", itemIds: expect.arrayContaining([first?.id]) as unknown },
      { ...delivery, percent: 50, note: "half" },
      { ...delivery, count: 3, durationMs: 0, result: "sent" },
    ]);
  });

  test("failures are told of, what becomes of the items, and that they are dead", async () => {
    const f = new Fixture(kind);
    const { bw, batch } = await f.started((engine) =>
      engine.batch<number>({
        ...LIMITS,
        retries: { max: 1, baseDelay: 500 },
        handler: (ctx) => {
          if (ctx.attempt === 2) throw new Error("no luck");
          ctx.fail(2, new Error("odd"));
        },
      }),
    );
    const heard = listen(bw);
    await f.run(batch.addBulk([1, 2, 3]));
    await f.advance(10_000);
    expect(names(heard)).toEqual([
      "added",
      "sealed",
      "claimed",
      "started",
      "failed",
      "retried",
      "succeeded",
      "claimed",
      "started",
      "failed",
      "dead",
    ]);
    expect(only(heard, "failed")).toMatchObject([
      { size: 3, attempt: 1, count: 1, error: { message: "odd" } },
      { size: 1, attempt: 2, count: 1, error: { message: "no luck" } },
    ]);
    const next = [{ size: 1, attempt: 2, delayMs: 500 }];
    expect(only(heard, "retried")).toMatchObject([{ bisected: false, next }]);
    expect(only(heard, "succeeded")).toMatchObject([{ count: 2 }]);
    expect(only(heard, "dead")).toMatchObject([{ count: 1, error: { message: "no luck" } }]);
  });

  test("a batch that is cut in two is told of as such, and so is one that comes again", async () => {
    const f = new Fixture(kind);
    const { bw, batch } = await f.started((engine) =>
      engine.batch<number>({
        ...LIMITS,
        onFailure: "bisect",
        retries: { max: 1 },
        handler: (ctx) => {
          if (ctx.batch.includes(3)) throw new Error("three");
        },
      }),
    );
    const heard = listen(bw);
    await f.run(batch.addBulk([1, 2, 3]));
    await f.advance(10_000);
    expect(only(heard, "retried")).toMatchObject([
      {
        size: 3,
        bisected: true,
        next: [
          { size: 2, attempt: 1 },
          { size: 1, attempt: 1 },
        ],
      },
      { size: 1, bisected: false, next: [{ size: 1, attempt: 2, delayMs: 1000 }] },
    ]);
    expect(only(heard, "sealed")).toHaveLength(1);
    expect(only(heard, "dead")).toMatchObject([{ count: 1 }]);
  });

  test("pause, resume, flush, drain and stop are told of once they are done", async () => {
    const f = new Fixture(kind);
    const groupBy = String;
    const { bw, batch } = await f.started((engine) =>
      engine.batch<number>({ ...LIMITS, groupBy, handler: () => undefined }),
    );
    const heard = listen(bw);
    await f.run(batch.pause());
    await f.run(batch.resume());
    await f.run(batch.add(1));
    await f.run(batch.flush("1"));
    await f.run(batch.drain());
    await f.run(bw.stop());
    expect(names(heard)).toEqual([
      "paused",
      "resumed",
      "added",
      "sealed",
      "claimed",
      "started",
      "succeeded",
      "flushed",
      "paused",
      "drained",
      "stopped",
    ]);
    expect(only(heard, "flushed")).toEqual([{ name: "orders", tags: ["shop"], groupKey: "1" }]);
    expect(only(heard, "sealed")).toMatchObject([{ groupKey: "1", reason: "flush" }]);
  });

  test("who takes over from a dead process tells of it, and the one that was slow that it lost", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const slow = await f.started((engine) =>
      engine.batch<number>({ ...LIMITS, handler: () => hold.wait() }),
    );
    const [lost] = [listen(slow.bw)];
    await f.run(slow.batch.addBulk([1, 2, 3]));
    await f.advance(0);
    slow.process.freeze();
    const other = await f.started((engine) =>
      engine.batch<number>({ ...LIMITS, handler: () => undefined }),
    );
    const heard = listen(other.bw);
    await f.advance(60_000);
    expect(names(heard)).toEqual(["reaped", "claimed", "suspect", "started", "succeeded"]);
    expect(only(heard, "reaped")).toEqual([{ processes: 1, released: 1, dead: 0 }]);
    slow.process.thaw();
    await f.advance(10_000);
    hold.releaseAll();
    await f.advance(10_000);
    expect(names(lost)).toEqual(["added", "sealed", "claimed", "started", "leaseLost"]);
  });

  test("trouble with the storage is told of beside being logged", async () => {
    const f = new Fixture(kind);
    const { process, bw, batch } = await f.started((engine) =>
      engine.batch<number>({ ...LIMITS, handler: () => undefined }),
    );
    const heard = listen(bw);
    process.faults = ({ method }) => (method === "exchange" ? { fail: "before" } : undefined);
    await f.run(batch.addBulk([1, 2, 3]));
    await f.advance(10);
    process.faults = () => undefined;
    expect(only(heard, "error")).toMatchObject([
      { message: "The storage failed; trying again.", error: { code: "STORAGE_FAILED" } },
    ]);
  });

  test("what a listener throws is logged, and neither the batch nor other listeners are harmed", async () => {
    const f = new Fixture(kind);
    const { process, bw, batch } = await f.started((engine) =>
      engine.batch<number>({ ...LIMITS, handler: () => undefined }),
    );
    const seen: string[] = [];
    batch.on("started", () => {
      throw new Error("broken listener");
    });
    batch.on("succeeded", () => Promise.reject(new Error("broken too")));
    batch.on("started", () => seen.push("batch"));
    bw.on("started", () => seen.push("engine"));
    await f.run(batch.addBulk([1, 2, 3]));
    await f.advance(60_000);
    expect(seen).toEqual(["batch", "engine"]);
    expect(await f.run(batch.status())).toMatchObject({ waiting: 0, leased: 0, dead: 0 });
    expect(process.logged("error")).toEqual([
      "A listener failed; nothing else changes.",
      "A listener failed; nothing else changes.",
    ]);
  });

  test("items in a transaction are told of as such: it may still be rolled back", async () => {
    const f = new Fixture(kind);
    const { bw, batch } = await f.started((engine) => {
      const second = engine.batch<number>({ ...LIMITS, name: "second", handler: () => undefined });
      return engine.batch<number>({
        ...LIMITS,
        handler: async (ctx: BatchContext<number>) => {
          await ctx.tx((tx) => {
            for (const item of ctx.batch) second.addSync(item, { tx });
          });
        },
      });
    });
    const heard = listen(bw);
    await f.run(batch.addBulk([1, 2, 3]));
    await f.advance(10);
    const inside = { name: "second", count: 1, bytes: 1, firstId: undefined, committed: false };
    expect(only(heard, "added").slice(1)).toMatchObject([inside, inside, inside]);
  });
});

describe("listeners", () => {
  test("hear of their own definition only, and the engine's of all", async () => {
    const f = new Fixture("memory");
    const { bw, batch: both } = await f.started((engine) => [
      engine.batch<number>({ ...LIMITS, name: "a", handler: () => undefined }),
      engine.batch<number>({ ...LIMITS, name: "b", handler: () => undefined }),
    ]);
    const [a, b] = both;
    const seen: string[] = [];
    a?.on("added", ({ name }) => seen.push(`a: ${name}`));
    bw.on("added", ({ name }) => seen.push(`engine: ${name}`));
    await f.run(Promise.all([a?.add(1), b?.add(2)]));
    expect(seen.toSorted()).toEqual(["a: a", "engine: a", "engine: b"]);
  });

  test("are removed by what on() returned, each by its own", () => {
    const emitter = new Emitter<EngineEvents>(() => undefined);
    const seen: number[] = [];
    const listener = (): void => void seen.push(seen.length);
    const [first, second] = [emitter.on("stopped", listener), emitter.on("stopped", listener)];
    emitter.emit("stopped", { graceMs: 0 });
    first();
    first();
    emitter.emit("stopped", { graceMs: 0 });
    expect(emitter.hears("stopped")).toBe(true);
    second();
    expect(emitter.hears("stopped")).toBe(false);
    expect(seen).toHaveLength(3);
  });

  test("may go while they are told", () => {
    const emitter = new Emitter<EngineEvents>(() => undefined);
    const seen: string[] = [];
    const off = emitter.on("stopped", () => {
      seen.push("once");
      off();
    });
    emitter.on("stopped", () => seen.push("always"));
    emitter.emit("stopped", { graceMs: 0 });
    emitter.emit("stopped", { graceMs: 0 });
    expect(seen).toEqual(["once", "always", "always"]);
  });

  test("of events that do not exist are refused, and those of the engine on a batch", () => {
    const engine = new Emitter<EngineEvents>(() => undefined);
    const batch = new Emitter<BatchEvents>(() => undefined, engine);
    const on = (emitter: Emitter<BatchEvents>, event: string): unknown =>
      emitter.on(event as keyof BatchEvents, () => undefined);
    expect(() => on(engine, "sucess")).toThrow('There is no event "sucess".');
    expect(() => on(batch, "stopped")).toThrow('no event "stopped" of a batch: use bw.on.');
    expect(() => on(engine, "toString")).toThrow(/no event/);
    expect(() => engine.on("stopped", 1 as never)).toThrow(/must be a function, not number/);
  });

  test("that nobody asked for cost nothing: no event is made", async () => {
    const f = new Fixture("memory");
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, handler: () => undefined }),
    );
    const emit = vi.spyOn(Emitter.prototype, "emit");
    onTestFinished(() => emit.mockRestore());
    await f.run(batch.addBulk([1, 2, 3]));
    await f.advance(10_000);
    expect(emit).not.toHaveBeenCalled();
  });

  test("know the type of their event", () => {
    const emitter = new Emitter<EngineEvents>(() => undefined);
    const off = emitter.on("added", (event) => expectTypeOf(event).toEqualTypeOf<AddedEvent>());
    emitter.on("succeeded", (event) => expectTypeOf(event).toEqualTypeOf<SucceededEvent>());
    expectTypeOf(off).toEqualTypeOf<() => void>();
    expect(emitter.hears("added")).toBe(true);
  });
});

describe("tags", () => {
  test("find definitions, and are in status()", async () => {
    const f = new Fixture("sqlite");
    const { bw, batch } = await f.started((engine) => {
      engine.batch<number>({ ...LIMITS, name: "plain", tags: [], handler: () => undefined });
      return engine.batch<number>({ ...LIMITS, tags: ["shop", "slow"], handler: () => undefined });
    });
    expect(bw.batches({ tag: "slow" })).toEqual([batch]);
    expect(bw.batches({ tag: "none" })).toEqual([]);
    expect(bw.batches().map(({ name }) => name)).toEqual(["plain", "orders"]);
    expect(batch.tags).toEqual(["shop", "slow"]);
    expect(await f.run(batch.status())).toMatchObject({ tags: ["shop", "slow"] });
  });
});

test("leaderElection is accepted, has no effect, and says so once", () => {
  const f = new Fixture("memory");
  const process = f.process({ leaderElection: true });
  expect(process.logged("debug")).toEqual([
    "leaderElection has no effect: there is no leader, and none is needed.",
  ]);
  expect(f.process().logged("debug")).toEqual([]);
});
