import { expect, test, vi } from "vitest";
import { advance, advanceUntil, useVirtualTime } from "../stage.js";
import { components, internal } from "./app/_generated/api.js";
import { watched } from "./app/watched.js";
import { crash, stage } from "./fixture.js";

useVirtualTime();

test("work that is pinged is processed in batches, and the worker sleeps", async () => {
  const at = await stage();
  for (let value = 1; value <= 25; value++) await at.add(value);
  expect(await at.status()).toBe("running");
  await advance(1000);
  expect(await at.handled()).toEqual(Array.from({ length: 25 }, (_, i) => i + 1));
  expect(watched.batches).toBe(3);
  expect(await at.status()).toBe("idle");
  expect(await at.t.run((ctx) => ctx.db.query("events").collect())).toEqual([]);
});

test("nothing runs while the worker sleeps", async () => {
  const at = await stage();
  await at.add(1);
  await advance(1000);
  const { queries } = watched;
  await advance(24 * 3_600_000);
  expect(watched.queries).toBe(queries);
  expect(vi.getTimerCount()).toBe(0);
});

test("a cursor commits with its batch, and rows of one commit are not split from it", async () => {
  const at = await stage();
  const { lib } = components.worker;
  const cursor = (): Promise<unknown> =>
    at.t.query((ctx) => ctx.runQuery(lib.getCursor, { name: "followed" }));
  expect(await cursor()).toBeNull();
  for (let i = 0; i < 4; i++) {
    await at.t.mutation(internal.events.append, { values: [i * 5, i * 5 + 1, i * 5 + 2] });
    await advance(100);
  }
  expect(await at.handled()).toEqual([0, 1, 2, 5, 6, 7, 10, 11, 12, 15, 16, 17]);
  expect(await cursor()).toBeTypeOf("bigint");
  await at.t.mutation((ctx) => ctx.runMutation(lib.setCursor, { name: "followed" }));
  expect(await cursor()).toBeNull();
  await at.t.mutation(internal.events.append, { values: [99] });
  await advance(1000);
  expect(await at.handled()).toHaveLength(12 + 13);
});

test("a debounce lets a burst accumulate before the first batch", async () => {
  const at = await stage();
  for (let value = 1; value <= 5; value++) {
    await at.add(value, 500);
    await advance(50);
  }
  expect(watched.batches).toBe(0);
  await advance(500);
  expect(watched.batches).toBe(1);
});

test("a cooldown that the query asks for polls until it is over", async () => {
  const at = await stage();
  watched.idle = { cooldownMs: 1000, pollIntervalMs: 100 };
  await at.add(1);
  await advance(500);
  expect(await at.status()).toBe("running");
  await advance(1000);
  expect(await at.status()).toBe("idle");
  expect(watched.queries).toBeGreaterThan(8);
});

test("a stopped worker ignores pings until it is started", async () => {
  const at = await stage();
  await at.add(1);
  await advance(100);
  await at.tell("stop");
  await at.add(2);
  await advance(3_600_000);
  expect(await at.status()).toBe("stopped");
  expect(await at.handled()).toEqual([1]);
  await at.tell("start");
  await advance(100);
  expect(await at.handled()).toEqual([1, 2]);
});

test("a turn that was superseded changes nothing", async () => {
  const at = await stage();
  await at.add(1);
  const [loop] = await at.rows("loops");
  await at.tell("stop");
  await at.inside(async (ctx) => {
    const turn = "function://worker;loop:turn" as never;
    await ctx.runMutation(turn, { worker: loop?.["worker"], turn: loop?.["turn"] } as never);
  });
  expect(watched.batches).toBe(0);
});

test("an unknown name has no status, and cannot be stopped, started or kicked", async () => {
  const at = await stage();
  expect(await at.status("other")).toBeUndefined();
  await expect(at.tell("stop", "other")).rejects.toThrow(/WORKER_UNKNOWN/v);
  await expect(at.tell("start", "other")).rejects.toThrow(/WORKER_UNKNOWN/v);
  await expect(at.tell("kick", "other")).rejects.toThrow(/WORKER_UNKNOWN/v);
});

test("a delay that is no delay is refused by its name", async () => {
  const at = await stage();
  await expect(at.add(1, -1)).rejects.toThrow(/OPTION_INVALID.*debounceMs/v);
  await expect(at.add(1, Number.NaN)).rejects.toThrow(/OPTION_INVALID.*debounceMs/v);
});

test("a turn that is lost is found out within seconds, and the loop goes on", async () => {
  const at = await stage();
  await at.add(1);
  await crash(at);
  await advance(3000);
  expect(await at.handled()).toEqual([1]);
  expect(await at.status()).toBe("idle");
});

test("a loop that is well is only looked at", async () => {
  const at = await stage();
  watched.idle = { cooldownMs: 120_000, pollIntervalMs: 1000 };
  await at.add(1);
  await advance(60_000);
  const [loop] = await at.rows("loops");
  expect(loop?.["turn"]).toBeGreaterThan(55);
  expect(loop?.["turn"]).toBeLessThan(65);
});

test("workers are listed by name, and a worker can be removed", async () => {
  const at = await stage();
  const { lib } = components.worker;
  await at.add(1);
  await at.t.mutation(internal.events.append, { values: [2] });
  await advance(1000);
  const list = (): Promise<unknown> => at.t.query((ctx) => ctx.runQuery(lib.list, {}));
  expect(await list()).toEqual([
    { name: "events", state: "idle", failing: false },
    { name: "followed", state: "idle", failing: false },
  ]);
  const remove = (name: string): Promise<boolean> =>
    at.t.mutation((ctx) => ctx.runMutation(lib.remove, { name }));
  expect(await remove("events")).toBe(true);
  expect(await remove("events")).toBe(false);
  expect(await at.status()).toBeUndefined();
  for (const table of ["workers", "loops", "monitors"]) {
    expect(await at.rows(table)).toHaveLength(1);
  }
  await at.add(3);
  await advanceUntil(async () => (await at.handled()).includes(3));
});
