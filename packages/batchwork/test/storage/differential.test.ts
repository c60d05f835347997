import fc from "fast-check";
import { expect, test } from "vitest";

import { memory } from "../../src/storage/memory/index.ts";
import { sqlite } from "../../src/storage/sqlite/index.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { ManualClock } from "../../src/testing/manual-clock.ts";
import { LEASE_MS, Tally, type Command, type End, type Setting } from "./commands.ts";
import { System } from "./system.ts";

/** A command for every storage, or time that passes for all of them, or the end of one process. */
type Step =
  | Command
  | { readonly do: "pass"; readonly ms: number }
  | { readonly do: "crash"; readonly worker: number };

const worker = fc.nat(1);
const mask = fc.nat(0xff);

const end: fc.Arbitrary<End> = fc.record({
  pick: fc.nat(20),
  how: fc.constantFrom("done", "done", "again", "halves", "mixed", "stale"),
  delayMs: fc.constantFrom(0, 0, 100, 5000),
  pattern: fc.nat(0xff_ff),
});

const exchange = fc.record({
  do: fc.constant("exchange" as const),
  worker,
  ends: fc.array(end, { maxLength: 6, size: "max" }),
  limit: fc.constantFrom(1, 2, 3, 100, 0),
  alone: fc.boolean(),
});

const append = fc.record({
  do: fc.constant("append" as const),
  chunks: fc.array(fc.tuple(fc.nat(2), fc.integer({ min: 1, max: 4 })), { maxLength: 3 }),
  dueInMs: fc.constantFrom(0, 0, 50, 1000),
});

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: append },
  { weight: 14, arbitrary: exchange },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("pass" as const),
      ms: fc.constantFrom(1, 50, 1000, 6000, LEASE_MS),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("crash" as const), worker }) },
  { weight: 1, arbitrary: fc.constant({ do: "reap" } as const) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constantFrom("heartbeat", "retire", "absolve"), worker }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constantFrom("release", "reconcile"), worker, mask }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("flush" as const), group: fc.nat(3) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("pause" as const),
      paused: fc.constantFrom(true, false, false, false),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("redrive", "discard"), mask }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("tell" as const), acknowledge: fc.nat(4) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("transact" as const),
      worker,
      pick: fc.nat(20),
      fail: fc.boolean(),
    }),
  },
);

const setting: fc.Arbitrary<Setting> = fc.record({
  groups: fc.constantFrom([""], ["a", "a:b", "b"]),
  maxSize: fc.integer({ min: 1, max: 6 }),
  maxBytes: fc.constantFrom(Number.POSITIVE_INFINITY, 10, 18),
  groupConcurrency: fc.constantFrom(1, 2, Number.POSITIVE_INFINITY),
  maxCrashes: fc.integer({ min: 1, max: 2 }),
});

const total = new Tally();

/** Carries a command out on every storage; compares the answers and all that can be seen then. */
async function ask(systems: readonly System[], command: Command): Promise<void> {
  const seen: unknown[] = [];
  for (const system of systems) {
    const answer = await system.run(command);
    seen.push({ command, answer, after: await system.look() });
  }
  for (const other of seen.slice(1)) expect(other).toEqual(seen[0]);
}

async function take(systems: readonly System[], clock: ManualClock, step: Step): Promise<void> {
  if (step.do === "pass") {
    await clock.advance(step.ms);
  } else if (step.do === "crash") {
    await clock.advance(LEASE_MS - 1);
    await ask(systems, { do: "heartbeat", worker: step.worker + 1 });
    await clock.advance(1);
    await ask(systems, { do: "reap" });
    // It comes back, and may still believe in its leases.
    await ask(systems, { do: "heartbeat", worker: step.worker });
  } else {
    await ask(systems, step);
  }
}

async function compare(fixed: Setting, steps: readonly Step[]): Promise<void> {
  const clock = new ManualClock();
  const storages: Storage[] = [
    memory({ payload: "text" }),
    memory({ payload: "reference" }),
    sqlite({ path: ":memory:", durability: "relaxed" }),
  ];
  try {
    const systems: System[] = [];
    for (const storage of storages) systems.push(await System.open(storage, fixed, clock));
    for (const step of steps) await take(systems, clock, step);
    total.add((systems[0] as System).tally);
  } finally {
    for (const storage of storages) await storage.close();
  }
}

test("whatever is asked of them, all storages answer the same", async () => {
  const steps = fc.array(step, { minLength: 1, maxLength: 50, size: "max" });
  await fc.assert(fc.asyncProperty(setting, steps, compare), { numRuns: 200 });
  const { claimed, retried, alone, dead, lost } = total;
  expect(claimed, "batches were claimed").toBeGreaterThan(500);
  for (const count of [retried, alone, dead, lost]) expect(count).toBeGreaterThan(5);
});
