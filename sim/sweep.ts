/**
 * One scenario, and one thing that goes wrong in it: at storage call 1, then at call 2, and so on.
 * What random faults find seldom, this finds always.
 */
import type {
  FaultSchedule,
  StorageFault,
} from "../packages/batchwork/src/testing/faulty-storage.ts";
import type { Life } from "./life.ts";
import { NO_FAULTS, type Plan, type QueuePlan } from "./plan.ts";
import { run, type RunResult } from "./run.ts";
import type { World } from "./world.ts";

/** What goes wrong. `"for good"` until the faults end. */
export type Mishap = "before" | "after" | "busy" | "for good" | "crash before" | "crash after";

export const MISHAPS: readonly Mishap[] = [
  "before",
  "after",
  "busy",
  "for good",
  "crash before",
  "crash after",
];

const LEASE_MS = 400;

const ORDERS: QueuePlan = {
  name: "orders",
  maxSize: 3,
  maxBytes: Number.POSITIVE_INFINITY,
  maxWaitMs: 30,
  groups: ["a", "b"],
  groupConcurrency: 1,
  concurrency: 2,
  retries: { max: 1, strategy: "fixed", baseDelay: 20, maxDelay: 100, jitter: 0 },
  onFailure: "bisect",
  timeout: undefined,
  throttle: undefined,
  reorders: true,
  deduplicates: false,
  onDead: true,
  transactional: true,
  workMs: 10,
  follows: 0.3,
};

/** Two processes, two queues, every kind of item, and the calls that people make. */
const SCENARIO: Omit<Plan, "store"> = {
  seed: 1,
  processes: 2,
  producers: 0,
  steps: 60,
  stepMs: 15,
  leaseMs: LEASE_MS,
  heartbeatMs: LEASE_MS / 4,
  tickIntervalMs: 100,
  pollMs: 20,
  maxCrashes: 2,
  queues: [
    ORDERS,
    { ...ORDERS, name: "mails", groups: [], onFailure: "retry", transactional: false, follows: 0 },
  ],
  faults: NO_FAULTS,
  calm: false,
  addRate: 0.5,
  controlRate: 0.1,
  flaky: 0.1,
  poison: 0.05,
  killers: 0,
  keyed: 0.3,
  restartAll: false,
};

/** Runs the scenario with this mishap at this storage call, counted over all processes. */
export async function mishapAt(
  call: number,
  mishap: Mishap,
  store: Plan["store"],
): Promise<RunResult> {
  let calls = 0;
  const schedule = (world: World, life: Life): FaultSchedule => {
    return () => {
      calls++;
      const hit = calls === call || (mishap === "for good" && calls > call);
      return hit && world.control.on ? happen(world, life, mishap) : undefined;
    };
  };
  return run(SCENARIO.seed, { plan: { ...SCENARIO, store }, schedule });
}

function happen(world: World, life: Life, mishap: Mishap): StorageFault {
  world.count(mishap);
  if (mishap === "crash before") {
    world.crash(life, "crash before a storage call");
    return {};
  }
  if (mishap === "crash after") {
    life.beside.after(1, () => world.crash(life, "crash after a storage call"));
    return { delayAfterMs: LEASE_MS };
  }
  return { fail: mishap === "for good" ? "before" : mishap };
}
