/** Batches that throw: how they are told apart, tried again, given up and brought back. */
import { expect, test } from "vitest";
import { advance, advanceUntil, useVirtualTime } from "../stage.js";
import { components, internal } from "./app/_generated/api.js";
import { watched } from "./app/watched.js";
import { stage, type Stage } from "./fixture.js";

useVirtualTime();

const { lib, dead, config } = components.worker;

interface Letter {
  id: string;
  batch?: { values: number[] };
  error: string;
  attempts: number;
}

function letters({ t }: Stage, name = "events"): Promise<Letter[]> {
  return t.query((ctx) => ctx.runQuery(dead.list, { name }));
}

async function fill({ t }: Stage, count: number, given: object): Promise<void> {
  for (let value = 1; value <= count; value++) {
    await t.mutation(internal.events.add, { value, ...given });
  }
}

const GIVES_UP = { config: { maxAttempts: 3, isolate: true }, buries: true };

test("with isolate one poison item is soon alone, is given up, and the others get through", async () => {
  const at = await stage();
  watched.poison = 7;
  await fill(at, 40, GIVES_UP);
  await advanceUntil(async () => (await at.status()) === "idle");
  expect((await at.handled()).toSorted((a, b) => a - b)).toEqual(
    Array.from({ length: 40 }, (_, i) => i + 1).filter((value) => value !== 7),
  );
  expect(await letters(at)).toMatchObject([
    { batch: { values: [7] }, error: "poison", attempts: 3 },
  ]);
  expect(watched.sizes.slice(0, 6)).toEqual([10, 1, 2, 4, 1, 2]);
  expect(watched.sizes.length).toBeLessThan(25);
  expect(await at.explain()).toMatchObject({ failures: 0, dead: 1 });
});

test("a batch that is given up without isolate is given up as a whole", async () => {
  const at = await stage();
  watched.poison = 3;
  await fill(at, 15, { config: { maxAttempts: 2 }, buries: true });
  await advance(60_000);
  expect(await letters(at)).toMatchObject([{ attempts: 2 }]);
  expect(await at.handled()).toEqual([11, 12, 13, 14, 15]);
});

test("a batch with a cursor is passed without any help", async () => {
  const at = await stage();
  watched.poison = 2;
  for (const value of [1, 2, 3]) {
    await at.t.mutation(internal.events.append, { values: [value], maxAttempts: 2 });
    await advance(10_000);
  }
  expect(await at.handled()).toEqual([1, 3]);
  expect(await letters(at, "followed")).toMatchObject([{ batch: { values: [2] } }]);
});

test("without a way past it a batch is not given up, but comes back ever later", async () => {
  const at = await stage();
  watched.poison = 1;
  await fill(at, 1, { config: { maxAttempts: 2 } });
  await advance(600_000);
  expect(await letters(at)).toEqual([]);
  expect(watched.batches).toBeLessThan(20);
  expect(await at.explain()).toMatchObject({ lastError: { message: "poison" } });
});

test("when onDead throws nothing of it is written, the error is shown, and it is tried again", async () => {
  const at = await stage();
  watched.poison = 1;
  watched.onDeadFails = 1;
  await fill(at, 2, { ...GIVES_UP, config: { maxAttempts: 1, isolate: true } });
  await advance(1100);
  expect(await at.explain()).toMatchObject({ lastError: { message: "onDead failed: no burial" } });
  expect(await letters(at)).toEqual([]);
  await advance(60_000);
  expect(await letters(at)).toHaveLength(1);
  expect(await at.handled()).toEqual([2]);
});

test("a batch that is redriven runs in the call, and stays when it throws again", async () => {
  const at = await stage();
  watched.poison = 1;
  await fill(at, 1, { config: { maxAttempts: 1 }, buries: true });
  await advance(1000);
  const [letter] = await letters(at);
  const redrive = (): Promise<number> =>
    at.t.mutation((ctx) => ctx.runMutation(dead.redrive, { ids: [letter?.id ?? ""] }));
  expect(await redrive()).toBe(0);
  expect(await letters(at)).toMatchObject([{ attempts: 2 }]);
  watched.poison = null;
  // What was deleted when it was given up is not there to be deleted again.
  watched.forgets = true;
  expect(await redrive()).toBe(1);
  expect(await letters(at)).toEqual([]);
});

test("batches that were given up are discarded, or expire after a week", async () => {
  const at = await stage();
  watched.poison = 1;
  watched.batchSize = 1;
  await fill(at, 1, { config: { maxAttempts: 1 }, buries: true });
  await advance(1000);
  await fill(at, 1, { config: { maxAttempts: 1 }, buries: true });
  await advance(1000);
  const [first] = await letters(at);
  const discard = at.t.mutation((ctx) => ctx.runMutation(dead.discard, { ids: [first?.id ?? ""] }));
  expect(await discard).toBe(1);
  expect(await letters(at)).toHaveLength(1);
  await advance(8 * 24 * 3_600_000);
  expect(await letters(at)).toEqual([]);
});

test("the delays after failures are those that were declared", async () => {
  const at = await stage();
  watched.mutationFails = 4;
  await fill(at, 1, { config: { backoff: { baseDelay: 100, maxDelay: 200 } } });
  await advance(650);
  expect(watched.batches).toBe(4);
  await advance(100);
  expect(await at.handled()).toEqual([1]);
});

test("what is stored at run time wins over what is pinged, until it is taken back", async () => {
  const at = await stage();
  await at.add(1, 100);
  await advance(1000);
  const update = (debounceMs: number | null): Promise<unknown> =>
    at.t.mutation((ctx) => ctx.runMutation(config.update, { name: "events", debounceMs }));
  await update(5000);
  await at.add(2, 100);
  await advance(1000);
  expect(await at.handled()).toEqual([1]);
  expect(await at.explain()).toMatchObject({ config: { debounceMs: 5000 } });
  await advance(5000);
  await update(null);
  await at.add(3, 100);
  await advance(500);
  expect(await at.handled()).toEqual([1, 2, 3]);
});

test("an override out of range, or of an unknown worker, is refused", async () => {
  const at = await stage();
  await at.add(1);
  const update = (args: { name: string; maxAttempts: number }): Promise<unknown> =>
    at.t.mutation((ctx) => ctx.runMutation(config.update, args));
  await expect(update({ name: "events", maxAttempts: 0 })).rejects.toThrow(/maxAttempts/v);
  await expect(update({ name: "other", maxAttempts: 1 })).rejects.toThrow(/WORKER_UNKNOWN/v);
});

test("a worker that is removed leaves its dead letters to be seen", async () => {
  const at = await stage();
  watched.poison = 1;
  await fill(at, 1, { config: { maxAttempts: 1 }, buries: true });
  await advance(1000);
  await at.t.mutation((ctx) => ctx.runMutation(lib.remove, { name: "events" }));
  expect(await letters(at)).toHaveLength(1);
});
