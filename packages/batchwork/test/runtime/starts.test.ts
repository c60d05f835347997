/** How what was claimed starts, and when the next exchange may begin. */
import { expect, test } from "vitest";

import { Starts } from "../../src/runtime/starts.ts";
import { ManualClock } from "../../src/testing/manual-clock.ts";

const START_MS = 2;

/** `seen` has the numbers in the order of their start, and "next" where a put resolved. */
function starting(remote: boolean): {
  readonly clock: ManualClock;
  readonly seen: (number | "next")[];
  readonly put: (runs: readonly number[], running: number, ended: number) => Promise<void>;
  /** Has an exchange and the start of five, of 2 ms each, measured. */
  readonly measure: (exchangeMs: number) => Promise<void>;
} {
  const clock = new ManualClock();
  const seen: (number | "next")[] = [];
  let eachMs = 0;
  let passed = 0;
  const timed = { ...clockOf(clock), monotonicMs: () => clock.monotonicMs() + passed };
  const starts = new Starts<number>(timed, remote, (run) => {
    passed += eachMs;
    seen.push(run);
  });
  const put = async (runs: readonly number[], running: number, ended: number): Promise<void> => {
    await starts.put(runs, { running, ended });
    seen.push("next");
  };
  const measure = async (exchangeMs: number): Promise<void> => {
    await clock.run(
      starts.exchange(async () => {
        passed += exchangeMs;
      }),
    );
    eachMs = START_MS;
    await clock.run(put([1, 2, 3, 4, 5], 5, 0));
    seen.length = 0;
  };
  return { clock, seen, put, measure };
}

function clockOf(clock: ManualClock): ConstructorParameters<typeof Starts>[0] {
  return {
    wallMs: () => clock.wallMs(),
    monotonicMs: () => clock.monotonicMs(),
    after: (ms, fn) => clock.after(ms, fn),
    soon: (fn) => clock.soon(fn),
    random: () => clock.random(),
  };
}

test("the first starts at once, each other in a turn of its own", async () => {
  const { clock, seen, put } = starting(false);
  void put([1, 2, 3], 3, 0);
  expect(seen).toEqual([1]);
  await clock.settle();
  expect(seen).toEqual([1, 2, 3, "next"]);
});

test("where a server answers fast, the next exchange begins when half has started", async () => {
  const { clock, seen, put, measure } = starting(true);
  await measure(10);
  void put([1, 2, 3, 4, 5], 5, 0);
  await clock.settle();
  expect(seen).toEqual([1, 2, "next", 3, 4, 5]);
});

test("where it takes longer than the starts are worth, one exchange waits for all", async () => {
  const { clock, seen, put, measure } = starting(true);
  await measure(20);
  void put([1, 2, 3, 4, 5], 5, 0);
  await clock.settle();
  expect(seen).toEqual([1, 2, 3, 4, 5, "next"]);
});

test("in a process that does the work of the storage itself, it waits for all", async () => {
  const { clock, seen, put, measure } = starting(false);
  await measure(1);
  void put([1, 2, 3, 4, 5], 5, 0);
  await clock.settle();
  expect(seen).toEqual([1, 2, 3, 4, 5, "next"]);
});

test("it begins at once when half has ended meanwhile, and nothing overtakes", async () => {
  const { clock, seen, put, measure } = starting(true);
  await measure(1);
  await clock.run(put([1, 2, 3], 4, 1).then(async () => put([4, 5], 5, 5)));
  await clock.settle();
  expect(seen).toEqual([1, "next", "next", 2, 3, 4, 5]);
});

test("nothing claimed holds nobody up", async () => {
  const { clock, seen, put } = starting(true);
  void put([], 8, 0);
  await clock.settle();
  expect(seen).toEqual(["next"]);
});
