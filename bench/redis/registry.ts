/** The rows on Redis, which stand beside those on other databases. */
import type { BenchCase, RunCase } from "../harness/case.ts";
import { redisMissing } from "./server.ts";

const COMMON = {
  quick: 4_000,
  full: 30_000,
  warmUp: 1_000,
  fullOnly: true,
  missing: redisMissing,
} as const;

export const CASES: readonly BenchCase[] = [
  {
    name: "bullmq",
    title: "BullMQ on Redis: cycle",
    ...COMMON,
    load: async (): Promise<RunCase> => (await import("./bullmq.ts")).bullmqOnRedis("shipped"),
  },
  {
    name: "bullmq-fsync",
    title: "BullMQ on Redis, synced: cycle",
    ...COMMON,
    load: async (): Promise<RunCase> => (await import("./bullmq.ts")).bullmqOnRedis("fsync"),
  },
];
