/** `maxPending` of pools: how many tasks may be stored and not settled, over all processes. */
import { describe, expect, test } from "vitest";

import {
  hasCode,
  QueueFullError,
  type Batchwork,
  type PendingOptions,
  type PoolOptions,
} from "../../../src/index.ts";
import { homes, Busy, numbers, World, type HeldPool, type TestProcess } from "./world.ts";

interface Options extends Partial<
  Omit<PoolOptions<{ readonly hold: Busy["handler"] }>, "handlers" | "name" | "maxPending">
> {
  /** `null` for no limit. */
  readonly maxPending?: PendingOptions | null;
}

const REJECT = { items: 10, policy: "reject" } as const;

const WAIT = { items: 10, policy: "wait" } as const;

/** A pool that nothing runs in unless it says so. */
function defining(
  busy: Busy,
  { maxPending = REJECT, ...options }: Options = {},
): (bw: Batchwork) => HeldPool {
  return (bw) =>
    bw.pool({
      name: "p",
      maxParallelism: 0,
      handlers: { hold: busy.handler },
      ...(maxPending === null ? {} : { maxPending }),
      ...options,
    });
}

async function limited(
  world: World,
  options: Options = {},
): Promise<TestProcess & { readonly pool: HeldPool; readonly busy: Busy }> {
  const busy = new Busy();
  return Object.assign(await world.started(defining(busy, options)), { busy });
}

/** "fulfilled", or the code of what it is rejected with. */
async function outcomeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "fulfilled",
    (error: unknown) => (error as { readonly code?: string }).code ?? String(error),
  );
}

/** What becomes of one task more. */
async function oneMore(world: World, pool: HeldPool): Promise<string> {
  return world.run(outcomeOf(pool.enqueue("hold", "more")));
}

describe.each(homes())("maxPending of a pool on $name", (home) => {
  test("what does not fit is rejected with QUEUE_FULL, all or none, and nothing is stored", async () => {
    const world = await World.on(home);
    const { pool } = await limited(world);
    await world.run(pool.enqueueBatch("hold", numbers(8)));
    const error: unknown = await world.run(
      pool.enqueueBatch("hold", numbers(3)).catch((thrown: unknown) => thrown),
    );
    expect(error).toBeInstanceOf(QueueFullError);
    expect(error).toMatchObject({
      code: "QUEUE_FULL",
      field: "maxPending.items",
      value: 3,
      limit: { items: 10 },
      room: { items: 2 },
      need: { items: 3 },
    });
    expect((await world.run(pool.stats())).waiting).toBe(8);
    await world.run(pool.enqueue("hold", 8));
    await world.run(pool.enqueue("hold", 9, { runAfter: 1000, serialKey: "k", priority: 3 }));
    expect(await oneMore(world, pool)).toBe("QUEUE_FULL");
    const later = outcomeOf(pool.enqueue("hold", 10, { runAfter: 5000 }));
    expect(await world.run(later)).toBe("QUEUE_FULL");
  });

  test("calls of one moment are stored as far as they fit, a smaller one after a larger", async () => {
    const world = await World.on(home);
    const { pool } = await limited(world);
    const calls = [6, 6, 3].map((count) => outcomeOf(pool.enqueueBatch("hold", numbers(count))));
    const outcomes = await world.run(Promise.all([...calls, outcomeOf(pool.enqueue("hold", 1))]));
    expect(outcomes).toEqual(["fulfilled", "QUEUE_FULL", "fulfilled", "fulfilled"]);
    expect(await oneMore(world, pool)).toBe("QUEUE_FULL");
  });

  test("a call that never fits is refused at once, whatever the policy", async () => {
    const world = await World.on(home);
    for (const maxPending of [REJECT, WAIT]) {
      const { pool, bw } = await limited(world, { maxPending });
      const idempotencyKey = (n: unknown): string => `key ${String(n)}`;
      for (const more of [{}, { idempotencyKey }, { runAfter: 10 }]) {
        const call = outcomeOf(pool.enqueueBatch("hold", numbers(11), more));
        expect(await world.run(call)).toBe("CALL_TOO_LARGE");
      }
      expect((await world.run(pool.stats())).waiting).toBe(0);
      await world.run(bw.stop({ graceMs: 0 }));
    }
  });

  test("success, failure, cancelling and discarding make room; running and retries do not", async () => {
    const world = await World.on(home);
    const attempts: unknown[] = [];
    const { pool } = await world.started((bw) =>
      bw.pool({
        name: "p",
        maxParallelism: 0,
        maxPending: { items: 4 },
        handlers: {
          run: async (what: string) => {
            attempts.push(what);
            if (what !== "fine") throw new Error(what);
          },
        },
      }),
    );
    const retry = { maxAttempts: 2, initialBackoffMs: 60_000 };
    await world.run(pool.enqueue("run", "fine"));
    await world.run(pool.enqueue("run", "fails"));
    await world.run(pool.enqueue("run", "again", { retry }));
    const ids = [await world.run(pool.enqueue("run", "late", { runAfter: 3_600_000 }))];
    const more = async (): Promise<string> => {
      const outcome = pool.enqueue("run", "late", { runAfter: 3_600_000 }).then(
        (id) => {
          ids.push(id);
          return "fulfilled";
        },
        (error: unknown) => (error as { readonly code: string }).code,
      );
      return world.run(outcome);
    };
    expect(await more()).toBe("QUEUE_FULL");
    await world.run(pool.config.update({ maxParallelism: 5 }));
    await world.until(async () => (await world.run(pool.stats())).delayed === 2);
    expect(new Set(attempts)).toEqual(new Set(["again", "fails", "fine"]));
    // One succeeded and one is a dead letter; one waits for another attempt.
    expect([await more(), await more(), await more()]).toEqual([
      "fulfilled",
      "fulfilled",
      "QUEUE_FULL",
    ]);
    expect(await world.run(pool.deadLetters.discard("all"))).toBe(1);
    expect(await more()).toBe("QUEUE_FULL");
    expect(await world.run(pool.cancel(ids[0] as string))).toBe("canceled");
    expect([await more(), await more()]).toEqual(["fulfilled", "QUEUE_FULL"]);
    expect(await world.run(pool.cancelAll())).toBe(4);
    const four = outcomeOf(
      pool.enqueueBatch("run", ["late", "late", "late", "late"], { runAfter: 3_600_000 }),
    );
    expect(await world.run(four)).toBe("fulfilled");
  });

  test("calls wait their turn with the policy wait, whatever they ask for, and none is lost", async () => {
    const world = await World.on(home);
    const { pool, busy } = await limited(world, { maxPending: WAIT });
    await world.run(pool.enqueueBatch("hold", numbers(10)));
    const order: number[] = [];
    const calls = [
      pool.enqueueBatch("hold", [10, 11, 12]).then(() => order.push(0)),
      pool.enqueue("hold", 13, { runAfter: 1, priority: -1 }).then(() => order.push(1)),
      pool.enqueue("hold", 14).then(() => order.push(2)),
    ];
    await world.advance(3000);
    expect(order).toEqual([]);
    await world.run(pool.config.update({ maxParallelism: 1 }));
    while (busy.started.length < 15) {
      await world.until(() => busy.running === 1);
      // The second and the third have room before the first does: they are behind it.
      expect(order.length === 0 || order[0] === 0).toBe(true);
      busy.release();
      await world.until(() => busy.running === 1 || busy.started.length === 15);
    }
    busy.release();
    await world.run(Promise.all(calls));
    expect(order).toEqual([0, 1, 2]);
    expect(busy.started.toSorted((a, b) => Number(a) - Number(b))).toEqual(numbers(15));
  });

  test("cancelling lets those in that wait", async () => {
    const world = await World.on(home);
    const { pool } = await limited(world, { maxPending: WAIT });
    const added: number[] = [];
    pool.on("added", ({ count }) => added.push(count));
    const ids = await world.run(pool.enqueueBatch("hold", numbers(10)));
    const plain = pool.enqueueBatch("hold", [10, 11]);
    const keyed = pool.enqueue("hold", 12, { idempotencyKey: "twelve" });
    await world.advance(500);
    expect((await world.run(pool.stats())).waiting).toBe(10);
    expect(added).toEqual([10]);
    await world.run(pool.cancelBatch(ids.slice(0, 3)));
    await world.run(Promise.all([plain, keyed]));
    expect(new Set(added)).toEqual(new Set([10, 2, 1]));
    expect((await world.run(pool.stats())).waiting).toBe(10);
  });

  test("a task that waited for room starts at its time all the same", async () => {
    const world = await World.on(home);
    const { pool, busy } = await limited(world, { maxPending: WAIT });
    const ids = await world.run(pool.enqueueBatch("hold", numbers(10)));
    const start = world.now;
    const plain = pool.enqueue("hold", "plain", { runAfter: 60_000 });
    const keyed = pool.enqueue("hold", "keyed", { runAfter: 60_000, idempotencyKey: "k" });
    await world.advance(40_000, 1000);
    await world.run(pool.cancelAll());
    await world.run(Promise.all([plain, keyed]));
    await world.run(pool.config.update({ maxParallelism: 5 }));
    expect(await world.run(pool.status(ids[0] as string))).toBe("finished");
    expect(busy.started).toEqual([]);
    await world.until(() => busy.started.length === 2, 100);
    expect(world.now - start).toBeGreaterThanOrEqual(60_000);
    expect(world.now - start).toBeLessThan(70_000);
    busy.release();
  });

  test("those that wait are rejected when the engine stops", async () => {
    const world = await World.on(home);
    const { bw, pool } = await limited(world, { maxPending: WAIT });
    await world.run(pool.enqueueBatch("hold", numbers(10)));
    const plain = outcomeOf(pool.enqueue("hold", 1));
    const keyed = outcomeOf(pool.enqueue("hold", 2, { idempotencyKey: "two" }));
    await world.advance(100);
    await world.run(bw.stop({ graceMs: 0 }));
    expect(await world.run(Promise.all([plain, keyed]))).toEqual(["STOPPED", "STOPPED"]);
  });

  test("a repeat of an idempotency key needs no room, another key does", async () => {
    const world = await World.on(home);
    const { pool } = await limited(world);
    const first = await world.run(pool.enqueue("hold", 1, { idempotencyKey: "one" }));
    await world.run(pool.enqueueBatch("hold", numbers(9)));
    expect(await world.run(pool.enqueue("hold", 1, { idempotencyKey: "one" }))).toBe(first);
    const other = outcomeOf(pool.enqueue("hold", 2, { idempotencyKey: "two" }));
    expect(await world.run(other)).toBe("QUEUE_FULL");
  });

  test("what other processes stored counts, and what one that died did not get done", async () => {
    const world = await World.on(home);
    const busy = new Busy();
    const options = { maxParallelism: 10 };
    const one = await world.started(defining(busy, options));
    const two = await world.started(defining(busy, options));
    await world.run(one.pool.pause());
    await world.run(one.pool.enqueueBatch("hold", numbers(6)));
    // A process may hold on to room that it does not use for a while.
    await world.advance(20_000, 1000);
    await world.run(two.pool.enqueueBatch("hold", numbers(4)));
    for (const { pool } of [one, two]) expect(await oneMore(world, pool)).toBe("QUEUE_FULL");
    await world.run(two.pool.resume());
    await world.until(() => busy.running === 10);
    one.kill();
    expect(await oneMore(world, two.pool)).toBe("QUEUE_FULL");
    await world.run(two.bw.stop({ graceMs: 0 }));
    // It is still there after a restart.
    const after = new Busy();
    const three = await world.started(defining(after, options));
    await world.advance(20_000, 1000);
    expect(await oneMore(world, three.pool)).toBe("QUEUE_FULL");
    await world.run(three.pool.cancelAll());
    after.release();
    await world.until(async () => (await oneMore(world, three.pool)) === "fulfilled", 1000);
  });

  test("bytes are limited as tasks are", async () => {
    const world = await World.on(home);
    const { pool } = await limited(world, { maxPending: { bytes: 200 } });
    await world.run(pool.enqueue("hold", "x".repeat(100)));
    const error: unknown = await world.run(
      pool.enqueue("hold", "x".repeat(100)).catch((thrown: unknown) => thrown),
    );
    expect(error).toMatchObject({ code: "QUEUE_FULL", field: "maxPending.bytes" });
    await world.run(pool.enqueue("hold", "x".repeat(40)));
  });

  test("the definition with the highest version counts in every process, also after a restart", async () => {
    const world = await World.on(home);
    const old = await limited(world, { maxPending: { items: 2 } });
    await world.run(old.pool.enqueueBatch("hold", numbers(2)));
    expect(await oneMore(world, old.pool)).toBe("QUEUE_FULL");
    const fresh = await limited(world, { version: 2, maxPending: { items: 4 } });
    await world.run(fresh.pool.enqueue("hold", 2));
    // A process that runs looks now and then.
    await world.until(async () => (await oneMore(world, old.pool)) === "fulfilled", 1000);
    expect(await oneMore(world, old.pool)).toBe("QUEUE_FULL");
    await world.run(Promise.all([old.bw.stop({ graceMs: 0 }), fresh.bw.stop({ graceMs: 0 })]));
    const again = await limited(world, { maxPending: { items: 100 } });
    expect(await oneMore(world, again.pool)).toBe("QUEUE_FULL");
    // Without a limit, nothing is limited any more.
    const none = await limited(world, { version: 3, maxPending: null });
    await world.run(none.pool.enqueueBatch("hold", numbers(500)));
    await world.until(async () => (await oneMore(world, again.pool)) === "fulfilled", 1000);
  });

  test("a call that waits when the limit becomes lower than it is refused", async () => {
    const world = await World.on(home);
    const { pool } = await limited(world, { maxPending: WAIT });
    await world.run(pool.enqueueBatch("hold", numbers(10)));
    const plain = outcomeOf(pool.enqueueBatch("hold", numbers(8)));
    const idempotencyKey = (n: unknown): string => `key ${String(n)}`;
    const keyed = outcomeOf(pool.enqueueBatch("hold", numbers(8), { idempotencyKey }));
    const small = pool.enqueue("hold", 1);
    await world.advance(100);
    await limited(world, { version: 2, maxPending: { items: 5, policy: "wait" } });
    expect(await world.run(Promise.all([plain, keyed]))).toEqual([
      "CALL_TOO_LARGE",
      "CALL_TOO_LARGE",
    ]);
    await world.run(pool.cancelAll());
    await world.run(small);
  });

  test("a storage that fails rejects those that it failed, and no others", async () => {
    const world = await World.on(home);
    const busy = new Busy();
    let failing = true;
    const { pool } = await world.started(defining(busy), {}, ({ method }) =>
      failing && method === "append" ? { fail: "before" } : undefined,
    );
    expect(await oneMore(world, pool)).toBe("STORAGE_FAILED");
    failing = false;
    await world.run(pool.enqueueBatch("hold", numbers(10)));
    expect(await oneMore(world, pool)).toBe("QUEUE_FULL");
  });
});

describe.each(homes().filter(({ durable }) => durable))(
  "maxPending of a pool in a transaction on $name",
  (home) => {
    test("what does not fit is refused at once, whatever the policy, and the transaction goes on", async () => {
      const world = await World.on(home);
      const { pool } = await limited(world, { maxPending: WAIT });
      const refused: unknown[] = [];
      await world.run(
        world.transaction(async (tx) => {
          await pool.enqueueBatch("hold", numbers(8), { tx });
          for (const more of [{}, { idempotencyKey: (n: number) => `key ${n}` }]) {
            const call = pool.enqueueBatch("hold", numbers(3), { tx, ...more } as never);
            refused.push(await outcomeOf(call));
          }
          await pool.enqueue("hold", 9, { tx, idempotencyKey: "nine" });
          await pool.enqueue("hold", 10, { tx, runAfter: 5 });
        }),
      );
      expect(refused).toEqual(["QUEUE_FULL", "QUEUE_FULL"]);
      expect(await world.run(pool.explain())).toMatchObject({ pending: { items: 10, full: true } });
      await world.run(
        world.transaction(async (tx) => {
          expect(await outcomeOf(pool.enqueue("hold", 11, { tx }))).toBe("QUEUE_FULL");
        }),
      );
    });

    test("what is rolled back does not count", async () => {
      const world = await World.on(home);
      const { pool } = await limited(world);
      await world.run(
        world.transaction(async (tx) => {
          await pool.enqueueBatch("hold", numbers(10), { tx });
        }, "ROLLBACK"),
      );
      expect((await world.run(pool.explain())).pending).toMatchObject({ items: 0 });
      const call = (): Promise<string> => outcomeOf(pool.enqueueBatch("hold", numbers(10)));
      await world.until(async () => (await world.run(call())) === "fulfilled", 1000);
    });
  },
);

test("maxPending holds for a pool of this process alone as well", async () => {
  const world = await World.on(homes()[1] as ReturnType<typeof homes>[number]);
  const { pool } = await limited(world, { persist: false, maxPending: { items: 3, bytes: 500 } });
  const calls = numbers(5).map((n) => outcomeOf(pool.enqueue("hold", n)));
  const outcomes = await world.run(Promise.all(calls));
  expect(outcomes.filter((outcome) => outcome === "QUEUE_FULL")).toHaveLength(2);
  await world.run(pool.cancelAll());
  const large = await world.run(
    pool.enqueueBatch("hold", ["x".repeat(300), "y".repeat(300)]).catch((error: unknown) => error),
  );
  expect(hasCode(large, "CALL_TOO_LARGE")).toBe(true);
});
