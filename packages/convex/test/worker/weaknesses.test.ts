import { expect, test, vi } from "vitest";
import { Meter } from "../meter.js";
import { advance, useVirtualTime } from "../stage.js";
import { internal } from "./app/_generated/api.js";
import { watched } from "./app/watched.js";
import { crash, stage } from "./fixture.js";

useVirtualTime();

const MINUTE = 60_000;

const component = import.meta.glob(["../../src/worker/*.ts", "!**/convex.config.ts"]);

test("a worker that sleeps until a time and then throws once is woken again", async () => {
  const at = await stage();
  watched.idle = { timeoutMs: 10 * MINUTE };
  await at.add(1);
  await advance(1000);
  expect(await at.status()).toBe("idle");
  await at.t.run((ctx) => ctx.db.insert("events", { value: 2, at: 0n }));
  watched.queryFails = 1;
  await advance(9 * MINUTE);
  expect(await at.handled()).toEqual([1]);
  await advance(2 * MINUTE);
  expect(await at.handled()).toEqual([1, 2]);
});

test("a timer that the scheduler lost is found out while the worker sleeps", async () => {
  const at = await stage();
  watched.idle = { timeoutMs: 10 * MINUTE };
  await at.add(1);
  await advance(1000);
  await at.t.run((ctx) => ctx.db.insert("events", { value: 2, at: 0n }));
  await crash(at);
  await advance(10 * MINUTE + 3000);
  expect(await at.handled()).toEqual([1, 2]);
});

test("a ping that wakes a timed worker early has it looked after again", async () => {
  const at = await stage();
  watched.idle = { timeoutMs: 10 * MINUTE };
  await at.add(1);
  await advance(1000);
  await at.add(2);
  await crash(at);
  await advance(3000);
  expect(await at.handled()).toEqual([1, 2]);
});

test("a ping wakes a timed worker no later than its timer", async () => {
  const at = await stage();
  watched.idle = { timeoutMs: 5000 };
  await at.add(1);
  await advance(1000);
  await at.add(2, 3_600_000);
  await advance(5000);
  expect(await at.handled()).toEqual([1, 2]);
});

test("a poison batch comes back ever later, is shown, and pings do not hurry it", async () => {
  const at = await stage();
  watched.mutationFails = Number.POSITIVE_INFINITY;
  await at.add(1);
  for (let second = 0; second < 600; second++) {
    await advance(1000);
    if (second % 10 === 0) await at.add(second + 2);
  }
  expect(watched.batches).toBeLessThan(20);
  expect(await at.explain()).toMatchObject({
    state: "running",
    lastError: { message: "no batch" },
  });
  watched.mutationFails = 0;
  await advance(2 * MINUTE);
  expect(await at.explain()).toMatchObject({ state: "idle", failures: 0 });
  expect(await at.handled()).toHaveLength(61);
});

test("a batch that throws leaves nothing of itself behind", async () => {
  const at = await stage();
  watched.mutationFails = 1;
  await at.add(1);
  await advance(500);
  expect(watched.batches).toBe(1);
  expect(await at.handled()).toEqual([]);
  await advance(1000);
  expect(await at.handled()).toEqual([1]);
});

test("two call sites that differ are reported once, and rewrite nothing while it runs", async () => {
  const at = await stage();
  const warn = vi.spyOn(console, "warn").mockReturnValue();
  await at.add(1, 1000);
  const before = await at.rows("workers");
  for (let i = 0; i < 5; i++) await at.t.mutation(internal.events.addRenamed, { value: i });
  const declared = warn.mock.calls.filter(([line]) => String(line).includes("declared_twice"));
  expect(declared).toHaveLength(1);
  expect(await at.rows("workers")).toEqual(before.map((row) => ({ ...row, warned: true })));
  warn.mockRestore();
});

test("a function that was renamed is taken from the next ping when the old one fails", async () => {
  const at = await stage();
  watched.queryFails = Number.POSITIVE_INFINITY;
  await at.add(1);
  await advance(100);
  expect(await at.explain()).toMatchObject({ failures: 1 });
  await at.t.mutation(internal.events.addRenamed, { value: 2 });
  await advance(2000);
  expect(await at.handled()).toEqual([1, 2]);
});

test("a kick starts a loop whose scheduled functions were all cancelled by hand", async () => {
  const at = await stage();
  await at.add(1);
  await crash(at);
  const [monitor] = await at.rows("monitors");
  await at.inside((ctx) => ctx.scheduler.cancel(monitor?.["run"] as never));
  await at.add(2);
  await advance(MINUTE);
  expect(await at.handled()).toEqual([]);
  await at.tell("kick");
  await advance(100);
  expect(await at.handled()).toEqual([1, 2]);
});

test("a debounce that a batch asked for ignores pings, and a kick cuts it short", async () => {
  const at = await stage();
  watched.steer = { debounceMs: 3_600_000 };
  await at.add(1);
  await advance(100);
  await at.add(2);
  await advance(MINUTE);
  expect(await at.handled()).toEqual([1]);
  await at.tell("kick");
  await advance(100);
  expect(await at.handled()).toEqual([1, 2]);
});

test("a batch that nobody deletes and no cursor passes does not spin", async () => {
  const at = await stage();
  watched.forgets = true;
  await at.add(1);
  await advance(10 * MINUTE);
  expect(watched.batches).toBeLessThan(20);
  const explained = await at.explain();
  expect(explained).toMatchObject({ state: "running" });
  expect(JSON.stringify(explained)).toContain("The same batch came again");
  watched.forgets = false;
  await advance(2 * MINUTE);
  expect(await at.handled()).toEqual([1]);
});

test("a query that answers neither a batch nor idle says so, and does not spin", async () => {
  const at = await stage();
  watched.idle = { kind: "nothing" } as never;
  await at.add(1);
  await advance(MINUTE);
  expect(await at.explain()).toMatchObject({ failures: expect.any(Number) as number });
  expect(watched.queries).toBeLessThan(20);
});

test("a turn that waits in the scheduler past its time is scheduled anew, and not twice", async () => {
  const at = await stage();
  await at.add(1);
  const [loop] = await at.rows("loops");
  await at.inside(async (ctx) => {
    await ctx.scheduler.cancel(loop?.["run"] as never);
    const later = await ctx.scheduler.runAfter(
      7_200_000,
      "function://worker;loop:turn" as never,
      { worker: loop?.["worker"], turn: loop?.["turn"] } as never,
    );
    await ctx.db.patch(loop?.["_id"] as never, { run: later } as never);
  });
  await advance(2 * MINUTE);
  expect(await at.handled()).toEqual([1]);
  await advance(2 * 3_600_000);
  expect(watched.batches).toBe(1);
});

test("a worker that kicks itself goes on as one loop", async () => {
  const at = await stage();
  watched.kicks = true;
  watched.batchSize = 1;
  for (let value = 1; value <= 5; value++) await at.add(value);
  await advance(5000);
  expect(await at.handled()).toEqual([1, 2, 3, 4, 5]);
  expect(await at.status()).toBe("idle");
});

test("a worker that is idle after every batch is not polled for", async () => {
  const at = await stage();
  for (let value = 1; value <= 5; value++) {
    await at.add(value);
    await advance(5000);
  }
  expect(watched.batches).toBe(5);
  expect(watched.queries).toBeLessThanOrEqual(15);
});

test("a batch that is gone, shown again by a read that is too old, is passed after a moment", async () => {
  const at = await stage();
  watched.batchSize = 2;
  for (let value = 1; value <= 2; value++) await at.add(value);
  await advance(500);
  watched.repeats = 1;
  for (let value = 3; value <= 6; value++) await at.add(value);
  await advance(5000);
  expect(await at.handled()).toEqual([1, 2, 3, 4, 5, 6]);
  expect(await at.explain()).toMatchObject({ state: "idle", failures: 0 });
});

test("a turn that the scheduler never starts is looked at every few seconds, not many times in one", async () => {
  await Meter.over("worker", component);
  const at = await stage();
  watched.idle = { cooldownMs: 3_600_000, pollIntervalMs: 40_000 };
  await at.add(1);
  const meter = Meter.start();
  for (let minute = 0; minute < 10; minute++) {
    const [loop] = await at.rows("loops");
    await at.inside(async (ctx) => {
      await ctx.scheduler.cancel(loop?.["run"] as never);
      const turn = "function://worker;loop:turn" as never;
      const args = { worker: loop?.["worker"], turn: -1 } as never;
      const run = await ctx.scheduler.runAfter(36_000_000, turn, args);
      await ctx.db.patch(loop?.["_id"] as never, { run } as never);
    });
    await advance(50_000);
  }
  expect(meter.counts.get("worker/monitor:look")).toBeGreaterThan(10);
  expect(meter.counts.get("worker/monitor:look")).toBeLessThan(80);
});
