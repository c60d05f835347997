/** Every row of `bench loops`, in the order in which the rows of a round run. */
import type { BenchCase } from "../harness/case.ts";

const ITERATE = { quick: 200_000, full: 1_000_000, warmUp: 20_000, race: "iterate" } as const;
const ITERATE_TX = { quick: 50_000, full: 1_000_000, warmUp: 10_000, race: "iterate-tx" } as const;
const DRAIN = { quick: 50_000, full: 100_000, warmUp: 10_000, race: "drain" } as const;
const WAKE = { warmUp: 20, once: true } as const;

export const CASES: readonly BenchCase[] = [
  {
    name: "iterate",
    title: "iterator, pages of 500",
    ...ITERATE,
    load: async () => (await import("./iterate.ts")).iterate,
  },
  {
    name: "iterate-bound",
    title: "the same by hand: keyset pages, cursor kept",
    ...ITERATE,
    load: async () => (await import("./iterate.ts")).bound,
  },
  {
    name: "iterate-offset",
    title: "by hand with LIMIT/OFFSET, offset kept",
    ...ITERATE,
    load: async () => (await import("./iterate.ts")).offset,
  },
  {
    name: "iterate-covered",
    title: "iterator with proof of coverage",
    ...ITERATE,
    load: async () => (await import("./iterate.ts")).covered,
  },
  {
    name: "iterate-tx",
    title: "iterator, each row updated in ctx.tx",
    ...ITERATE_TX,
    load: async () => (await import("./iterate.ts")).iterateTx,
  },
  {
    name: "iterate-tx-bound",
    title: "the same by hand, in one transaction a page",
    ...ITERATE_TX,
    load: async () => (await import("./iterate.ts")).boundTx,
  },
  {
    name: "worker",
    title: "worker, batches of 100",
    ...DRAIN,
    load: async () => (await import("./drain.ts")).worker,
  },
  {
    name: "worker-bound",
    title: "the same by hand",
    ...DRAIN,
    load: async () => (await import("./drain.ts")).bound,
  },
  {
    name: "wake",
    title: "ping to row, same process",
    quick: 200,
    full: 1000,
    ...WAKE,
    load: async () => (await import("./wake.ts")).wakeInside,
  },
  {
    name: "wake-across",
    title: "ping to row, two processes",
    quick: 200,
    full: 1000,
    ...WAKE,
    load: async () => (await import("./wake.ts")).wakeAcross,
  },
];

/** The row with this name. Throws, and names the others, when there is none. */
export function caseNamed(name: string): BenchCase {
  const found = CASES.find((row) => row.name === name);
  if (found !== undefined) return found;
  throw new Error(`no row "${name}"; there are: ${CASES.map((row) => row.name).join(", ")}`);
}
