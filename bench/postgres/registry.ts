/** Every row of `bench postgres`, in the order in which the rows of a round run. */
import type { BenchCase } from "../harness/case.ts";
import { CASES as REDIS_CASES } from "../redis/registry.ts";
import type { RunPostgres } from "./measured.ts";

export type PostgresCase = Omit<BenchCase, "load"> & {
  readonly load: () => Promise<RunPostgres>;
};

/** Items that go through first, untimed, in a database of their own. */
const STEADY = 20_000;

export const CASES: readonly PostgresCase[] = [
  {
    name: "bound",
    title: "bound: a bare row per 500",
    quick: 200_000,
    full: 200_000,
    warmUp: STEADY,
    load: async () => (await import("./bound.ts")).bound,
  },
  {
    name: "cycle",
    title: "cycle, calls of 500",
    quick: 200_000,
    full: 200_000,
    warmUp: STEADY,
    load: async () => (await import("./cycle.ts")).cycle(),
  },
  {
    name: "cycle-60-groups",
    title: "cycle, 60 groups",
    quick: 160_000,
    full: 200_000,
    warmUp: STEADY,
    load: async () => (await import("./cycle.ts")).cycle(60),
  },
  {
    name: "cycle-two-processes",
    title: "cycle, 2 processes",
    quick: 200_000,
    full: 200_000,
    warmUp: STEADY,
    load: async () => (await import("./processes.ts")).processes(2),
  },
  {
    name: "add-64",
    title: "add, 64 callers",
    quick: 15_000,
    full: 100_000,
    warmUp: 3_000,
    load: async () => (await import("./cycle.ts")).adds({ callers: 64, perCall: 1 }),
  },
  {
    name: "graphile",
    title: "graphile-worker: cycle",
    quick: 16_000,
    full: 50_000,
    warmUp: 1_000,
    load: async () => (await import("./graphile.ts")).graphile,
  },
  {
    name: "pg-boss",
    title: "pg-boss: cycle",
    quick: 16_000,
    full: 50_000,
    warmUp: 1_000,
    load: async () => (await import("./pg-boss.ts")).pgBossCycle,
  },
  {
    name: "pg-boss-send-64",
    title: "pg-boss: send, 64 callers",
    quick: 1_500,
    full: 20_000,
    warmUp: 200,
    load: async () => (await import("./pg-boss.ts")).pgBossSend(64),
  },
  {
    name: "bullmq-pg",
    title: "BullMQ on PostgreSQL: cycle",
    quick: 2_000,
    full: 10_000,
    warmUp: 1_000,
    fullOnly: true,
    load: async () => (await import("../redis/bullmq.ts")).bullmqOnPostgres,
  },
  ...REDIS_CASES,
];

/** The row with this name. Throws, and names the others, when there is none. */
export function caseNamed(name: string): PostgresCase {
  const found = CASES.find((row) => row.name === name);
  if (found !== undefined) return found;
  throw new Error(`no row "${name}"; there are: ${CASES.map((row) => row.name).join(", ")}`);
}
