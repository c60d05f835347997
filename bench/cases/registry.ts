/** Every row of `bench batch`, in the order in which the rows of a round run. */
import { FEATURE_CASES } from "../features/registry.ts";
import type { BenchCase } from "../harness/case.ts";
import type { Adders, CycleOptions } from "./cycle.ts";
import { CLOSE, medianOf } from "./median-of.ts";

/** Items that go through first, untimed. */
const BASELINE = 5_000;
/** The same for rows whose speed is compared: until all that runs often has been optimised. */
const STEADY = 20_000;
/** The same in memory, where so many take milliseconds. */
const IN_MEMORY = 50_000;
/** Items of the layouts: with fewer, what both pay at the start and at the end counts. */
const LAYOUT = { quick: 80_000, full: 200_000 };

export const CASES: readonly BenchCase[] = [
  {
    name: "bound",
    title: "bound: JSON + fdatasync per 500",
    quick: 60_000,
    full: 200_000,
    warmUp: STEADY,
    load: async () => (await import("./bound.ts")).bound,
  },
  {
    ...cycleCase("cycle", "cycle, calls of 500", LAYOUT),
    load: async () => medianOf(CLOSE, (await import("./cycle.ts")).cycle()),
  },
  {
    name: "rows",
    title: "a row per item: cycle",
    ...LAYOUT,
    warmUp: STEADY,
    load: async () => medianOf(CLOSE, (await import("./rows.ts")).rows),
  },
  {
    name: "rows-bare",
    title: "a row per item, no index: cycle",
    quick: 60_000,
    full: 200_000,
    warmUp: STEADY,
    fullOnly: true,
    load: async () => (await import("./rows.ts")).rowsBare,
  },
  {
    name: "plainjob",
    title: "plainjob: cycle",
    quick: 10_000,
    full: 20_000,
    warmUp: 1_000,
    load: async () => (await import("./plainjob.ts")).plainjobCycle,
  },
  cycleCase(
    "cycle-60-groups",
    "cycle, 60 groups",
    { quick: 60_000, full: 200_000 },
    { groups: 60 },
  ),
  cycleCase(
    "cycle-1000-groups",
    "cycle, 1,000 groups",
    { quick: 10_000, full: 100_000 },
    { groups: 1000 },
  ),
  cycleCase(
    "cycle-failing",
    "cycle, 5 % fail once",
    { quick: 20_000, full: 200_000 },
    { failEvery: 20 },
  ),
  cycleCase(
    "cycle-live",
    "adding and processing at once",
    { quick: 30_000, full: 200_000 },
    { live: true },
    true,
  ),
  cycleCase(
    "cycle-chunk-1",
    "cycle, 1 caller, one at a time",
    { quick: 10_000, full: 10_000 },
    { chunk: 1 },
    true,
  ),
  cycleCase(
    "cycle-chunk-10",
    "cycle, calls of 10",
    { quick: 10_000, full: 50_000 },
    { chunk: 10 },
    true,
  ),
  cycleCase(
    "cycle-chunk-100",
    "cycle, calls of 100",
    { quick: 20_000, full: 100_000 },
    { chunk: 100 },
    true,
  ),
  addsCase(
    "add-bulk",
    "add, 4 calls of 1,000 in flight",
    { quick: 30_000, full: 200_000 },
    { callers: 4, perCall: 1000 },
    true,
  ),
  addsCase(
    "add-64",
    "add, 64 callers",
    { quick: 15_000, full: 100_000 },
    { callers: 64, perCall: 1 },
    true,
  ),
  addsCase(
    "add-256",
    "add, 256 callers",
    { quick: 20_000, full: 200_000 },
    { callers: 256, perCall: 1 },
  ),
  {
    name: "plainjob-add-256",
    title: "plainjob: add, 256 callers",
    quick: 10_000,
    full: 50_000,
    warmUp: 1_000,
    load: async () => (await import("./plainjob.ts")).plainjobAdd256,
  },
  ...(["callers", "burst"] as const).flatMap((pattern): BenchCase[] => {
    const arrival = pattern === "callers" ? "64 callers" : "bursts of 10,000";
    const common = { quick: 200_000, full: 500_000, warmUp: IN_MEMORY };
    return [
      {
        name: `memory-${pattern}`,
        title: `persist: false, ${arrival}`,
        ...common,
        load: async () => (await import("./memory.ts")).memoryCase(pattern),
      },
      {
        name: `dataloader-${pattern}`,
        title: `dataloader, ${arrival}`,
        ...common,
        load: async () => (await import("./dataloader.ts")).dataloaderCase(pattern),
      },
      {
        name: `pacer-${pattern}`,
        title: `Pacer AsyncBatcher, ${arrival}`,
        quick: 20_000,
        full: 200_000,
        warmUp: BASELINE,
        fullOnly: true,
        load: async () => (await import("./pacer.ts")).pacerCase(pattern),
      },
    ];
  }),
  ...FEATURE_CASES,
  {
    name: "add-latency",
    title: "load of 1,000,000, then add latency",
    quick: 1_000_000,
    full: 1_000_000,
    warmUp: 0,
    once: true,
    load: async () => (await import("./latency.ts")).latency,
  },
];

interface Size {
  readonly quick: number;
  readonly full: number;
}

function cycleCase(
  name: string,
  title: string,
  size: Size,
  options?: CycleOptions,
  fullOnly = false,
): BenchCase {
  // Small calls are slow because of their commits, which no compiler helps.
  const warmUp = options?.chunk === undefined ? STEADY : Math.min(BASELINE, size.quick / 10);
  return {
    name,
    title,
    ...size,
    warmUp,
    ...(fullOnly ? { fullOnly } : {}),
    load: async () => (await import("./cycle.ts")).cycle(options),
  };
}

function addsCase(
  name: string,
  title: string,
  size: Size,
  adders: Adders,
  fullOnly = false,
): BenchCase {
  return {
    name,
    title,
    ...size,
    warmUp: BASELINE,
    ...(fullOnly ? { fullOnly } : {}),
    load: async () => (await import("./adds.ts")).adds(adders),
  };
}

/** The row with this name. Throws, and names the others, when there is none. */
export function caseNamed(name: string): BenchCase {
  const found = CASES.find((row) => row.name === name);
  if (found !== undefined) return found;
  throw new Error(`no row "${name}"; there are: ${CASES.map((row) => row.name).join(", ")}`);
}
