/**
 * A deployment in virtual time: convex-test with the platform's limits on, and fake timers that are
 * stepped one by one, with everything a timer started run to its end before the next one fires.
 */
import { convexTest, type TestConvex } from "convex-test";
import type { GenericSchema, SchemaDefinition } from "convex/server";
import { afterEach, beforeEach, vi } from "vitest";

/** Modules as `import.meta.glob` gives them. */
export type Modules = Record<string, () => Promise<unknown>>;

type Schema = SchemaDefinition<GenericSchema, boolean>;

/** When virtual time begins. */
const START = Date.UTC(2026, 0, 1);

/** Fakes the clock around every test of the file. */
export function useVirtualTime(): void {
  beforeEach(() => {
    vi.useFakeTimers({ now: START, toFake: ["Date", "setTimeout", "clearTimeout"] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });
}

/** The components' modules, loaded before a test begins: no call waits for a file. */
const components = import.meta.glob(["../src/{batch,pool,worker}/*.ts", "!**/convex.config.ts"]);

/** The app under test. */
export async function deploy(schema: Schema, modules: Modules): Promise<TestConvex<Schema>> {
  const used = Object.entries(modules).filter(([file]) => !file.endsWith("convex.config.ts"));
  await Promise.all(used.map(([, load]) => load()));
  // A component that cannot be loaded fails the tests that use it.
  await Promise.allSettled(Object.values(components).map((load) => load()));
  return convexTest({ schema, modules, transactionLimits: true });
}

/** Runs what is ready, and nothing that waits for a timer. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) {
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
  }
}

/** Lets `ms` of virtual time pass, timer by timer; `timer`: one that is exact, where others are slow. */
export async function advance(
  ms: number,
  timer: (then: () => void, ms: number) => unknown = setTimeout,
): Promise<void> {
  let over = false;
  timer(() => {
    over = true;
  }, ms);
  await settle();
  while (!over) {
    vi.advanceTimersToNextTimer();
    await settle();
  }
}

/** Lets time pass until `done` says so, at most `limitMs`. Returns the virtual ms it took. */
export async function advanceUntil(
  done: () => boolean | Promise<boolean>,
  limitMs = 3_600_000,
): Promise<number> {
  const from = Date.now();
  await settle();
  while (!(await done())) {
    if (Date.now() - from > limitMs) throw new Error(`not within ${limitMs} ms of virtual time`);
    if (vi.getTimerCount() === 0) throw new Error("nothing is scheduled any more");
    vi.advanceTimersToNextTimer();
    await settle();
  }
  return Date.now() - from;
}
