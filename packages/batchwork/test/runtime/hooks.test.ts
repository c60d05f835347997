/** `hooks.onSuccess` and `hooks.onFail`: what they are told, when, and that they change nothing. */
import { describe, expect, expectTypeOf, test } from "vitest";

import type { BatchContext } from "../../src/runtime/context.ts";
import type { BatchHooks, HookJob } from "../../src/runtime/hooks.ts";
import { Fixture, Hold, recorder, STORAGES, type Process } from "./fixture.ts";

const LIMITS = { name: "orders", maxSize: 3, maxWaitMs: 1000, tags: ["shop"] };

interface Call {
  readonly hook: "onSuccess" | "onFail";
  readonly job: HookJob<number>;
  readonly told: unknown;
}

interface Noting {
  readonly calls: Call[];
  readonly hooks: Required<Omit<BatchHooks<number>, "beforeFlush">>;
}

/** Hooks that note what they are told, then do what `work` says. */
function noting(work: () => unknown = () => undefined): Noting {
  const calls: Call[] = [];
  const note = (hook: Call["hook"]) => (job: HookJob<number>, told: unknown) => {
    calls.push({ hook, job, told });
    return work();
  };
  return { calls, hooks: { onSuccess: note("onSuccess"), onFail: note("onFail") } };
}

async function start(
  f: Fixture,
  handler: (ctx: BatchContext<number>) => unknown,
  options: object,
): Promise<{ process: Process; add: (...items: number[]) => Promise<unknown> }> {
  const { process, batch } = await f.started((bw) =>
    bw.batch<number>({ ...LIMITS, handler, ...options }),
  );
  return { process, add: (...items) => f.run(batch.addBulk(items)) };
}

describe.each(STORAGES)("hooks on %s storage", (kind) => {
  test("onSuccess is told of the batch and of what the handler returned", async () => {
    const f = new Fixture(kind);
    const { calls, hooks } = noting();
    const groupBy = (item: number): string => (item < 10 ? "low" : "high");
    const { add } = await start(f, (ctx) => ({ sum: ctx.batchSize }), { hooks, groupBy });
    await add(1, 2, 3);
    await f.advance(1000);
    expect(calls).toEqual([
      {
        hook: "onSuccess",
        job: {
          batchId: expect.any(String) as unknown,
          name: "orders",
          groupKey: "low",
          attempts: 1,
          items: [1, 2, 3],
          tags: ["shop"],
        },
        told: { sum: 3 },
      },
    ]);
  });

  test("onSuccess is not called before the outcome is stored", async () => {
    const f = new Fixture(kind);
    const { calls, hooks } = noting();
    let failing = false;
    const handler = (): string => {
      failing = true;
      return "sent";
    };
    const { process, add } = await start(f, handler, { hooks });
    let tried = 0;
    process.faults = ({ method }) => {
      if (method !== "exchange" || !failing) return undefined;
      tried++;
      return { fail: "before" };
    };
    await add(1, 2, 3);
    await f.advance(100);
    expect(tried).toBeGreaterThan(0);
    expect(calls).toEqual([]);
    failing = false;
    await f.advance(60_000);
    expect(calls.map(({ hook, told }) => [hook, told])).toEqual([["onSuccess", "sent"]]);
  });

  test("a batch that another process took over calls nothing", async () => {
    const f = new Fixture(kind);
    const { calls, hooks } = noting();
    const hold = new Hold();
    const { process, add } = await start(f, () => hold.wait(), { hooks });
    await add(1, 2, 3);
    await f.advance(0);
    process.freeze();
    const other = noting();
    await start(f, () => undefined, { hooks: other.hooks });
    await f.advance(60_000);
    expect(other.calls.map(({ hook }) => hook)).toEqual(["onSuccess"]);
    process.thaw();
    hold.releaseAll();
    await f.advance(60_000);
    expect(calls).toEqual([]);
  });

  test("onFail is called for every attempt that failed, with all items and what was thrown", async () => {
    const f = new Fixture(kind);
    const { calls, hooks } = noting();
    const error = new Error("no luck");
    const handler = (ctx: BatchContext<number>): string => {
      ctx.batch.length = 0;
      if (ctx.attempt < 3) throw error;
      return "at last";
    };
    const { add } = await start(f, handler, { hooks, retries: { max: 2 } });
    await add(1, 2, 3);
    await f.advance(60_000);
    expect(calls.map(({ hook, job, told }) => [hook, job.attempts, job.items, told])).toEqual([
      ["onFail", 1, [1, 2, 3], error],
      ["onFail", 2, [1, 2, 3], error],
      ["onSuccess", 3, [1, 2, 3], "at last"],
    ]);
  });

  test("items that ctx.fail names go to onFail, the others to onSuccess", async () => {
    const f = new Fixture(kind);
    const { calls, hooks } = noting();
    const handler = (ctx: BatchContext<number>): void => ctx.fail(1, "too odd");
    const { add } = await start(f, handler, { hooks });
    await add(1, 2, 3);
    await f.advance(1000);
    expect(calls.map(({ hook, job, told }) => [hook, job.items, told])).toEqual([
      ["onFail", [2], expect.objectContaining({ message: "too odd" })],
      ["onSuccess", [1, 3], undefined],
    ]);
  });

  test("when every item was named, there is no success to tell of", async () => {
    const f = new Fixture(kind);
    const { calls, hooks } = noting();
    const handler = (ctx: BatchContext<number>): void => {
      for (const index of ctx.batch.keys()) ctx.fail(index, new Error("no"));
    };
    const { add } = await start(f, handler, { hooks });
    await add(1, 2, 3);
    await f.advance(1000);
    expect(calls.map(({ hook }) => hook)).toEqual(["onFail"]);
  });

  test("what ctx.tx committed is a success, whatever the handler throws afterwards", async () => {
    const f = new Fixture(kind);
    const { calls, hooks } = noting();
    const handler = async (ctx: BatchContext<number>): Promise<void> => {
      await ctx.tx(() => undefined);
      throw new Error("too late");
    };
    const { add } = await start(f, handler, { hooks });
    await add(1, 2, 3);
    await f.advance(1000);
    expect(calls.map(({ hook, job }) => [hook, job.items])).toEqual([["onSuccess", [1, 2, 3]]]);
  });

  test.each([
    [
      "throws",
      () => {
        throw new Error("broken hook");
      },
    ],
    ["rejects", () => Promise.reject(new Error("broken hook"))],
  ])("a hook that %s is logged and changes nothing", async (_, work) => {
    const f = new Fixture(kind);
    const { calls, hooks } = noting(work);
    const { deliveries, handler } = recorder<number>(f.clock, (ctx) => {
      if (ctx.attempt === 1) throw new Error("no luck");
    });
    const { process, add } = await start(f, handler, { hooks, retries: { max: 1 } });
    await add(1, 2, 3);
    await f.advance(60_000);
    expect(calls.map(({ hook }) => hook)).toEqual(["onFail", "onSuccess"]);
    expect(deliveries.map(({ attempt }) => attempt)).toEqual([1, 2]);
    expect(process.logged("error")).toEqual([
      "hooks.onFail failed; nothing else changes.",
      "hooks.onSuccess failed; nothing else changes.",
    ]);
  });

  test("a hook that takes its time holds nothing up but stop()", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const { calls, hooks } = noting(() => hold.wait());
    const { process, add } = await start(f, () => undefined, { hooks, concurrency: 1 });
    await add(1, 2, 3, 4, 5, 6);
    await f.advance(0);
    expect(calls).toHaveLength(2);
    const stopping = process.bw.stop();
    expect(await f.isPending(stopping)).toBe(true);
    hold.releaseAll();
    await f.run(stopping);
    expect(calls).toHaveLength(2);
  });
});

test("the types of the job and of the result are those of the handler", async () => {
  const f = new Fixture("memory");
  const batch = f.process().bw.batch({
    ...LIMITS,
    handler: (ctx: BatchContext<{ readonly id: number }>) => ctx.batch.map(({ id }) => id),
    hooks: {
      onSuccess: (job, result) => {
        expectTypeOf(job.items).toEqualTypeOf<readonly { readonly id: number }[]>();
        expectTypeOf(result).toEqualTypeOf<number[]>();
      },
      onFail: (_, error) => {
        expectTypeOf(error).toEqualTypeOf<Error>();
      },
    },
  });
  expect(batch.name).toBe("orders");
});
