/** A deploy of this version over rows of the version before, with loops in flight. */
import path from "node:path";
import { expect, test } from "vitest";
import { restore } from "../restore.js";
import { advance, useVirtualTime } from "../stage.js";
import { components, internal } from "./app/_generated/api.js";
import { stage, type Stage } from "./fixture.js";

useVirtualTime();

function deployOver({ inside }: Stage, name: string): Promise<void> {
  const file = path.join(import.meta.dirname, "upgrade", `${name}.json`);
  return restore("worker", inside, file, ["workers", "loops", "monitors"]);
}

test("a worker that failed under the version before goes on under this one, by itself", async () => {
  const at = await stage();
  await deployOver(at, "failing");
  expect(await at.explain()).toMatchObject({ state: "running", failures: 2 });
  await at.t.run((ctx) => ctx.db.insert("events", { value: 1, at: 0n }));
  await advance(20_000);
  expect(await at.handled()).toEqual([1]);
  expect(await at.explain()).toMatchObject({ state: "idle", failures: 0, dead: 0 });
});

test("a cursor of the version before is where this one goes on", async () => {
  const at = await stage();
  await deployOver(at, "failing");
  const args = { name: "followed" };
  const cursor: unknown = await at.t.query((ctx) =>
    ctx.runQuery(components.worker.lib.getCursor, args),
  );
  expect(cursor).toBeTypeOf("bigint");
  await at.t.run((ctx) => ctx.db.insert("events", { value: 1, at: (cursor as bigint) - 1n }));
  await at.t.mutation(internal.events.append, { values: [2] });
  await advance(1000);
  expect(await at.handled()).toEqual([2]);
});

test("a worker that slept until a time under the version before wakes at it", async () => {
  const at = await stage();
  await deployOver(at, "timed");
  expect(await at.status()).toBe("idle");
  await at.t.run((ctx) => ctx.db.insert("events", { value: 1, at: 0n }));
  await advance(70_000);
  expect(await at.handled()).toEqual([1]);
});

test("a worker of the version before takes what this one adds from its next ping", async () => {
  const at = await stage();
  await deployOver(at, "timed");
  const config = { maxAttempts: 3, isolate: true };
  await at.t.mutation(internal.events.add, { value: 1, config, buries: true });
  await advance(1000);
  expect(await at.explain()).toMatchObject({ config });
  expect(await at.handled()).toEqual([1]);
});
