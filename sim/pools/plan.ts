/** What one seed stands for in a run of pools. */
import { faultsOf, NO_FAULTS, type Faults } from "../plan.ts";
import { Rng } from "../rng.ts";

/** Who is told when tasks end: nobody, a call for each, one for many, one that writes effects. */
export type Told = "nobody" | "each" | "many" | "in a transaction";

export interface PoolPlan {
  readonly name: string;
  readonly maxParallelism: number;
  readonly maxConcurrencyPerWorker: number;
  readonly maxBytesPerWorker: number;
  readonly concurrencyPerKey: number;
  /** Serial keys of its tasks; "" for none. */
  readonly keys: readonly string[];
  readonly priorities: readonly number[];
  readonly throttle: { readonly max: number; readonly duration: number } | undefined;
  readonly retry: {
    readonly maxAttempts: number;
    readonly initialBackoffMs: number;
    readonly maxBackoffMs: number;
  };
  readonly timeout: number | undefined;
  /** How many tasks may be pending; `undefined` for no limit. */
  readonly maxPending: { readonly items: number; readonly policy: "reject" | "wait" } | undefined;
  /** False keeps no result. */
  readonly keepsResults: boolean;
  readonly told: Told;
  /** How long its handlers take on average, ms. */
  readonly workMs: number;
}

export interface PoolsPlan {
  readonly seed: number;
  readonly store: "memory" | "sqlite";
  readonly processes: number;
  readonly steps: number;
  /** Time between two steps on average, ms. */
  readonly stepMs: number;
  readonly leaseMs: number;
  readonly heartbeatMs: number;
  readonly tickIntervalMs: number;
  readonly pollMs: number;
  readonly maxCrashes: number;
  readonly pools: readonly PoolPlan[];
  readonly faults: Faults;
  /** Nothing goes wrong but tasks. */
  readonly calm: boolean;
  /** Chances per step: tasks are enqueued, tasks are cancelled, rarer calls are made. */
  readonly enqueues: number;
  readonly cancels: number;
  readonly controls: number;
  /** Shares of the calls that enqueue: with keys, for later. */
  readonly keyed: number;
  readonly delayed: number;
  /** Shares of the tasks that fail for a while, always, and for good at once. */
  readonly flaky: number;
  readonly poison: number;
  readonly final: number;
  /** Shares of the tasks that outlive a lease, that end only when told to, and that kill. */
  readonly slow: number;
  readonly endless: number;
  readonly killers: number;
  /** At the end everybody is restarted; otherwise only those who are down. */
  readonly restartAll: boolean;
}

/** One seed in so many runs on SQLite. */
const SQLITE_EVERY = 10;

/** Share of seeds in which nothing goes wrong. */
const CALM = 0.15;

/** Share of the pools that have a limit on what is pending. */
const LIMITED = 0.15;

/** Most tasks of one call. */
export const CALL_MAX = 12;

export function poolsPlanOf(seed: number): PoolsPlan {
  // Seeds that follow one another must not have plans that resemble one another.
  const rng = new Rng(Math.imul(seed + 1, 0x85_eb_ca_6b));
  rng.unit();
  const some = (most: number): number => (rng.chance(0.5) ? rng.between(0, most) : 0);
  const leaseMs = rng.whole(300, 2000);
  const calm = rng.chance(CALM);
  const names = ["alpha", "beta"].slice(0, rng.whole(1, 2));
  const store = seed % SQLITE_EVERY === 3 ? "sqlite" : "memory";
  return {
    seed,
    store,
    processes: rng.whole(1, 4),
    steps: store === "sqlite" ? 40 : rng.pick([40, 60, 60, 100, 150]),
    stepMs: leaseMs / rng.pick([5, 10, 20]),
    leaseMs,
    heartbeatMs: Math.ceil(leaseMs / rng.whole(3, 5)),
    tickIntervalMs: rng.whole(200, 1500),
    pollMs: rng.whole(50, 300),
    maxCrashes: rng.whole(1, 3),
    pools: names.map((name) => poolOf(name, rng, leaseMs)),
    faults: calm ? { ...NO_FAULTS, deaf: rng.chance(0.2) } : faultsOf(rng),
    calm,
    enqueues: rng.between(0.2, 0.8),
    cancels: some(0.2),
    controls: rng.between(0, 0.1),
    keyed: some(0.5),
    delayed: some(0.5),
    flaky: some(0.3),
    poison: some(0.1),
    final: some(0.1),
    slow: some(0.05),
    endless: some(0.05),
    killers: calm ? 0 : some(0.03),
    restartAll: !calm && rng.chance(0.5),
  };
}

function poolOf(name: string, rng: Rng, leaseMs: number): PoolPlan {
  return {
    name,
    maxParallelism: rng.pick([1, 2, 3, 5, 8, 20]),
    maxConcurrencyPerWorker: rng.pick([1, 2, 3, 1000, 1000]),
    maxBytesPerWorker: rng.chance(0.2) ? rng.whole(200, 1500) : Number.POSITIVE_INFINITY,
    concurrencyPerKey: rng.pick([1, 1, 2]),
    keys: ["", "north", "south", "east"].slice(0, rng.pick([1, 2, 3, 4])),
    priorities: rng.chance(0.4) ? [-1, 0, 1] : [0],
    throttle: rng.chance(0.2) ? { max: rng.whole(2, 10), duration: rng.whole(20, 400) } : undefined,
    retry: {
      maxAttempts: rng.whole(1, 4),
      initialBackoffMs: rng.whole(0, 200),
      maxBackoffMs: rng.whole(200, 1000),
    },
    timeout: rng.chance(0.3) ? rng.whole(50, 2 * leaseMs) : undefined,
    maxPending: rng.chance(LIMITED)
      ? { items: rng.whole(CALL_MAX, 40), policy: rng.pick(["reject", "wait"] as const) }
      : undefined,
    keepsResults: rng.chance(0.8),
    told: rng.pick(["nobody", "each", "many", "in a transaction"] as const),
    workMs: rng.pick([0, 1, 10, leaseMs / 10, leaseMs / 3]),
  };
}
