/** Every row of `bench pool`, in the order in which the rows of a round run. */
import type { BenchCase, RunCase } from "../harness/case.ts";
import { CASES as POSTGRES_CASES } from "../postgres/registry.ts";
import type { RunPostgres } from "../postgres/measured.ts";
import { CASES as SQLITE_CASES } from "../cases/registry.ts";
import { CASES as REDIS_CASES } from "../redis/registry.ts";

/** A row on SQLite, on PostgreSQL, or on Redis. */
export type PoolCase = Omit<BenchCase, "load"> &
  (
    | { readonly on: "sqlite" | "redis"; readonly load: () => Promise<RunCase> }
    | { readonly on: "postgres"; readonly load: () => Promise<RunPostgres> }
  );

const OURS = { quick: 150_000, full: 200_000, warmUp: 20_000 };
const FEATURE = { quick: 20_000, full: 100_000, warmUp: 10_000, fullOnly: true } as const;
/** No warm-up: what takes two seconds is not made faster by compiled code. */
const SLOW = { warmUp: 0, once: true } as const;
const FIVE = { executors: 5, perExecutor: 1000 };

/** The same work for a peer, as it is measured beside batches. */
function sqlitePeer(name: string): PoolCase {
  const found = SQLITE_CASES.find((row) => row.name === name);
  if (found === undefined) throw new Error(`no row "${name}"`);
  return { ...found, on: "sqlite" };
}

function postgresPeer(name: string): PoolCase {
  const found = POSTGRES_CASES.find((row) => row.name === name);
  if (found === undefined) throw new Error(`no row "${name}"`);
  return { ...found, on: "postgres" };
}

export const CASES: readonly PoolCase[] = [
  {
    name: "tasks",
    title: "SQLite: tasks, calls of 500",
    ...OURS,
    on: "sqlite",
    load: async () => (await import("./tasks.ts")).tasks(),
  },
  sqlitePeer("plainjob"),
  {
    name: "tasks-ttl-0",
    title: "SQLite: no results kept",
    ...FEATURE,
    on: "sqlite",
    load: async () => (await import("./tasks.ts")).tasks({ ttl: 0 }),
  },
  {
    name: "tasks-returning",
    title: "SQLite: results of 200 bytes",
    ...FEATURE,
    on: "sqlite",
    load: async () => (await import("./tasks.ts")).tasks({ returning: true }),
  },
  {
    name: "tasks-on-complete",
    title: "SQLite: onComplete",
    ...FEATURE,
    on: "sqlite",
    load: async () => (await import("./tasks.ts")).tasks({ told: "each" }),
  },
  {
    name: "tasks-on-complete-batch",
    title: "SQLite: onCompleteBatch",
    ...FEATURE,
    on: "sqlite",
    load: async () => (await import("./tasks.ts")).tasks({ told: "many" }),
  },
  {
    name: "enqueue-64",
    title: "SQLite: enqueue, 64 callers",
    ...FEATURE,
    on: "sqlite",
    load: async () => (await import("./tasks.ts")).tasks({ callers: 64, perCall: 1 }),
  },
  {
    name: "slow",
    title: "SQLite: 10,000 x 2 s, 5 x 1000",
    quick: 10_000,
    full: 10_000,
    ...SLOW,
    on: "sqlite",
    load: async () => (await import("./slow.ts")).slow(FIVE),
  },
  {
    name: "slow-1000",
    title: "SQLite: 1,000 x 2 s, 5 x 1000",
    quick: 1000,
    full: 1000,
    ...SLOW,
    fullOnly: true,
    on: "sqlite",
    load: async () => (await import("./slow.ts")).slow(FIVE),
  },
  {
    name: "slow-1000-at-100",
    title: "SQLite: 1,000 x 2 s, 1 x 100",
    quick: 1000,
    full: 1000,
    ...SLOW,
    fullOnly: true,
    on: "sqlite",
    load: async () => (await import("./slow.ts")).slow({ executors: 1, perExecutor: 100 }),
  },
  {
    name: "pg-tasks",
    title: "PostgreSQL: tasks, calls of 500",
    ...OURS,
    on: "postgres",
    load: async () => (await import("./tasks.ts")).tasksOnPostgres(),
  },
  postgresPeer("graphile"),
  postgresPeer("pg-boss"),
  postgresPeer("bullmq-pg"),
  ...REDIS_CASES.map((row) => ({ ...row, on: "redis" as const })),
  {
    name: "pg-tasks-on-complete-batch",
    title: "PostgreSQL: onCompleteBatch",
    ...FEATURE,
    on: "postgres",
    load: async () => (await import("./tasks.ts")).tasksOnPostgres({ told: "many" }),
  },
  {
    name: "pg-enqueue-64",
    title: "PostgreSQL: enqueue, 64 callers",
    ...FEATURE,
    on: "postgres",
    load: async () => (await import("./tasks.ts")).tasksOnPostgres({ callers: 64, perCall: 1 }),
  },
  {
    name: "pg-slow",
    title: "PostgreSQL: 10,000 x 2 s, 5 x 1000",
    quick: 10_000,
    full: 10_000,
    ...SLOW,
    fullOnly: true,
    on: "postgres",
    load: async () => (await import("./slow.ts")).slowOnPostgres(FIVE),
  },
];

/** The row with this name. Throws, and names the others, when there is none. */
export function caseNamed(name: string): PoolCase {
  const found = CASES.find((row) => row.name === name);
  if (found !== undefined) return found;
  throw new Error(`no row "${name}"; there are: ${CASES.map((row) => row.name).join(", ")}`);
}
