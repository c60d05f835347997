/** `drain` and `expectDelivered` of `batchwork/testing`, as a user's tests use them. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

import { Batchwork, type Batch, type BatchOptions } from "batchwork";
import { memory } from "batchwork/memory";
import { sqlite } from "batchwork/sqlite";
import { drain, expectDelivered, ManualClock, recordDeliveries } from "batchwork/testing";
import { describe, expect, onTestFinished, test } from "vitest";

const LIMITS = { name: "views", maxSize: 3, maxWaitMs: 1000 };

/** An engine on a clock of its own, stopped after the test. */
function engine(kind: "memory" | "sqlite"): { bw: Batchwork; clock: ManualClock } {
  const clock = new ManualClock();
  const folder = mkdtempSync(path.join(tmpdir(), "batchwork-drain-"));
  const storage = kind === "memory" ? memory() : sqlite({ path: path.join(folder, "work.db") });
  const bw = new Batchwork({ storage, clock });
  onTestFinished(async () => {
    const stopped = bw.stop({ graceMs: 0 });
    await clock.advance(0);
    await stopped;
    rmSync(folder, { recursive: true, force: true });
  });
  return { bw, clock };
}

async function started<T>(
  kind: "memory" | "sqlite",
  options: Partial<BatchOptions<T>> & Pick<BatchOptions<T>, "handler">,
): Promise<{ clock: ManualClock; batch: Batch<T> }> {
  const { bw, clock } = engine(kind);
  const batch = bw.batch<T>({ ...LIMITS, ...options });
  await clock.run(bw.start());
  return { clock, batch };
}

describe.each(["memory", "sqlite"] as const)("drain on %s storage", (kind) => {
  test("runs what waits, what is tried again and what handlers add, to its end", async () => {
    const { bw, clock } = engine(kind);
    const mails = recordDeliveries<string>();
    const views = recordDeliveries<number>(async (ctx) => {
      if (ctx.attempt < 3) throw new Error("not yet");
      for (const view of ctx.batch) void mailing.add(`mail ${view}`);
    });
    const mailing = bw.batch({ ...LIMITS, name: "mails", handler: mails.handler });
    const batch = bw.batch({
      ...LIMITS,
      retries: { max: 2, strategy: "fixed", baseDelay: 60_000 },
      handler: views.handler,
    });
    await clock.run(bw.start());
    void batch.addBulk([1, 2, 3, 4]);
    const passed = await drain(clock, bw);
    expect(passed).toBeGreaterThan(122_000);
    expect(passed).toBeLessThan(140_000);
    expectDelivered(views, { items: [1, 2, 3, 4], times: "at-least-once" });
    expectDelivered(mails, { items: ["mail 1", "mail 2", "mail 3", "mail 4"] });
  });

  test("what has nothing to do takes no time", async () => {
    const { clock, batch } = await started(kind, { handler: () => undefined });
    expect(await drain(clock, batch)).toBe(0);
  });

  test("a paused batch that holds items is stuck, and the error says so at once", async () => {
    const { clock, batch } = await started<number>(kind, { handler: () => undefined });
    await clock.run(batch.pause());
    await clock.run(batch.addBulk([1, 2]));
    await expect(drain(clock, batch)).rejects.toThrow(
      /after 0 ms .*\n {2}views: paused; 2 items wait/,
    );
  });
});

test("a handler that does not end is named when the time is over", async () => {
  const { clock, batch } = await started<number>("memory", {
    handler: () => Promise.withResolvers<never>().promise,
  });
  await clock.run(batch.addBulk([1, 2, 3]));
  await expect(drain(clock, batch, { withinMs: 5000 })).rejects.toThrow(
    /after 5000 ms .*\n {2}views: batch 1 \(3 items, attempt 1\) has run for 5000 ms/,
  );
});

test("items that no engine takes are told of with when they were due", async () => {
  const { bw, clock } = engine("memory");
  const batch = bw.batch<number>({ ...LIMITS, handler: () => undefined });
  await clock.run(batch.add(1));
  await expect(drain(clock, batch, { withinMs: 3000 })).rejects.toThrow(
    /views: 1 items wait, the oldest due for 2000 ms\nIs the engine started/,
  );
});

describe("expectDelivered", () => {
  const seen = {
    deliveries: [
      { batchId: "1", items: [{ id: 1 }, { id: 2 }], groupKey: undefined, attempt: 1 },
      { batchId: "1", items: [{ id: 1 }, { id: 2 }], groupKey: undefined, attempt: 2 },
      { batchId: "2", items: [{ id: 3 }], groupKey: undefined, attempt: 1 },
    ],
  };

  test("accepts each item in any order, and exact batches in theirs", () => {
    const again = { times: "at-least-once" } as const;
    expect(() =>
      expectDelivered(seen, { ...again, items: [{ id: 3 }, { id: 2 }, { id: 1 }] }),
    ).not.toThrow();
    const once = [{ id: 1 }, { id: 2 }];
    expect(() => expectDelivered(seen, { batches: [once, once, [{ id: 3 }]] })).not.toThrow();
  });

  test("lists what is missing, too often or not expected, and every delivery", () => {
    const message = [
      "expectDelivered: what was delivered is not what was expected.",
      "  too often: { id: 2 } (2 times instead of 1), in batch 1",
      "  missing: { id: 4 }",
      "  not expected: { id: 3 }, in batch 2",
      "Delivered:",
      "  batch 1, attempt 1: [ { id: 1 }, { id: 2 } ]",
      "  batch 1, attempt 2: [ { id: 1 }, { id: 2 } ]",
      "  batch 2, attempt 1: [ { id: 3 } ]",
    ].join("\n");
    const items = [{ id: 1 }, { id: 1 }, { id: 2 }, { id: 4 }];
    expect(() => expectDelivered(seen, { items })).toThrow(
      expect.objectContaining({ code: "ERR_ASSERTION", operator: "expectDelivered", message }),
    );
  });

  test("tells batches apart that hold the same items otherwise", () => {
    expect(() => expectDelivered(seen, { batches: [[{ id: 1 }, { id: 2 }]] })).toThrow(
      /delivery 2: expected none, got \[ \{ id: 1 \}, \{ id: 2 \} \]/,
    );
    expect(() => expectDelivered({ deliveries: [] }, { batches: [["a"]] })).toThrow(
      /delivery 1: expected \[ 'a' \], got none\nNothing was delivered\./,
    );
  });

  test("one thing to compare with is required", () => {
    expect(() => expectDelivered(seen, {})).toThrow(/give items, or batches/);
  });
});
