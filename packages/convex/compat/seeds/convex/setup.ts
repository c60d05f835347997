/** The two pools that seed 002 compares. Lines that changed have their original above them. */
// was: import { BatchWorkpool, Workpool } from "@convex-dev/workpool";
import { BatchWorkpool, Workpool } from "@batchwork/convex/pool";
import { components } from "./_generated/api";

export const standard = new Workpool(components.standardPool, { maxParallelism: 100 });

export const batch = new BatchWorkpool(components.batchPool, {
  maxWorkers: 5,
  maxConcurrencyPerWorker: 1000,
  claimTimeoutMs: 120_000,
  pollIntervalMs: 500,
  maxHeapMB: 0,
});
