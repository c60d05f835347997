/** Deploys, clocks that jump, large batches and many of them. */
import { expect, test, vi } from "vitest";
import { advance, advanceUntil, useVirtualTime } from "../stage.js";
import { components, internal } from "./app/_generated/api.js";
import { watched } from "./app/watched.js";
import { crash, stage, type Stage } from "./fixture.js";

useVirtualTime();

const DAY = 24 * 3_600_000;

const { dead } = components.worker;

function letters({ t }: Stage): Promise<{ id: string; batch?: unknown }[]> {
  return t.query((ctx) => ctx.runQuery(dead.list, { name: "events" }));
}

test("a loop whose turn is lost again and again gets through, each batch once", async () => {
  const at = await stage();
  watched.batchSize = 5;
  watched.steer = { debounceMs: 5000 };
  for (let value = 1; value <= 60; value++) await at.add(value);
  for (let deploy = 0; deploy < 3; deploy++) {
    await advance(6100);
    await crash(at);
    await advance(8000);
  }
  await advanceUntil(async () => (await at.status()) === "idle");
  expect(await at.handled()).toEqual(Array.from({ length: 60 }, (_, i) => i + 1));
  expect(watched.batches).toBe(12);
});

test.for([DAY, -DAY, 60_000, -60_000])(
  "a clock that jumps by %d ms while a worker runs stops it for no longer than that",
  async (jump) => {
    const at = await stage();
    watched.batchSize = 2;
    watched.steer = { debounceMs: 300 };
    for (let value = 1; value <= 30; value++) await at.add(value);
    await advance(900);
    vi.setSystemTime(Date.now() + jump);
    await at.add(31);
    await advance(900);
    vi.setSystemTime(Date.now() - jump);
    await at.add(32);
    await advance(120_000);
    expect(await at.handled()).toEqual(Array.from({ length: 32 }, (_, i) => i + 1));
    expect(watched.batches).toBe(16);
    expect(await at.status()).toBe("idle");
  },
);

test("ten thousand rows go through in batches of five hundred", async () => {
  const at = await stage();
  watched.batchSize = 500;
  for (let call = 0; call < 10; call++) {
    await at.t.run(async (ctx) => {
      for (let i = 0; i < 1000; i++) {
        await ctx.db.insert("events", { value: call * 1000 + i, at: 0n });
      }
    });
  }
  await at.add(10_000);
  await advanceUntil(async () => (await at.status()) === "idle");
  expect(new Set(await at.handled()).size).toBe(10_001);
  expect(watched.batches).toBe(21);
});

test("a batch of nearly a megabyte goes through, and one that fails is kept for a redrive", async () => {
  const at = await stage();
  watched.padBytes = 900_000;
  watched.poison = 2;
  const given = { config: { maxAttempts: 1 }, buries: true };
  for (const value of [1, 2]) {
    await at.t.mutation(internal.events.add, { value, ...given });
    await advance(1000);
  }
  expect(await at.handled()).toEqual([1]);
  const [letter] = await letters(at);
  expect(JSON.stringify(letter?.batch).length).toBeGreaterThan(900_000);
});

test("a batch that is too large to keep is given up all the same, with its error", async () => {
  const at = await stage();
  watched.padBytes = 1_200_000;
  watched.poison = 1;
  const given = { config: { maxAttempts: 1 }, buries: true };
  await at.t.mutation(internal.events.add, { value: 1, ...given });
  await advance(1000);
  const [letter] = await letters(at);
  expect(letter).toMatchObject({ error: "poison", attempts: 1 });
  expect(letter?.batch).toBeUndefined();
  const ids = [letter?.id ?? ""];
  expect(await at.t.mutation((ctx) => ctx.runMutation(dead.redrive, { ids }))).toBe(0);
});

test("a worker that sleeps for a year is there when it is pinged", async () => {
  const at = await stage();
  await at.add(1);
  await advance(1000);
  vi.setSystemTime(Date.now() + 365 * DAY);
  await at.t.mutation(internal.events.add, { value: 2 });
  await advance(1000);
  expect(await at.handled()).toEqual([1, 2]);
});
