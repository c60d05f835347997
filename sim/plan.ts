/** What one seed stands for: processes, queues, work, and a random subset of faults ("swarm"). */
import { Rng } from "./rng.ts";

/** Chances per step of the world, or per storage call. 0 switches a fault off. */
export interface Faults {
  /** A process is gone, at once. Per step. */
  readonly crash: number;
  /** A process is suspended for up to three leases. Per step. */
  readonly pause: number;
  /** A wall clock steps by up to three leases, either way. Per step. */
  readonly clockStep: number;
  /** Committed, but the reply is lost. Per call. */
  readonly lostReply: number;
  /** Nothing happened, and the call rejects. Per call. */
  readonly ioError: number;
  /** The write lock is taken. Per call. */
  readonly busy: number;
  /** The call takes up to a quarter of a lease, before and after. Per call. */
  readonly slow: number;
  /** The storage fails every call of a process for up to two leases. Per step. */
  readonly outage: number;
  /** Nobody hears of other processes' commits. */
  readonly deaf: boolean;
  /** A handler throws for no reason of its items. Per delivery. */
  readonly handlerThrows: number;
}

export interface QueuePlan {
  readonly name: string;
  readonly maxSize: number;
  readonly maxBytes: number;
  readonly maxWaitMs: number;
  /** Groups of its items; none means that it is not grouped. */
  readonly groups: readonly string[];
  readonly groupConcurrency: number;
  readonly concurrency: number;
  readonly retries: {
    readonly max: number;
    readonly strategy: "exponential" | "fixed";
    readonly baseDelay: number;
    readonly maxDelay: number;
    readonly jitter: number;
  };
  readonly onFailure: "retry" | "bisect";
  readonly timeout: number | undefined;
  readonly throttle: { readonly max: number; readonly duration: number } | undefined;
  readonly onDead: boolean;
  /** A hook puts the items of its batches in another order. */
  readonly reorders: boolean;
  /** Items that repeat the key of one that waits are left out. */
  readonly deduplicates: boolean;
  /** How much of it may be pending; `undefined` for no limit. */
  readonly maxPending?: { readonly items: number; readonly policy: "reject" | "wait" };
  /** Its handlers write effects through `ctx.tx`. */
  readonly transactional: boolean;
  /** How long its handlers take on average, ms. */
  readonly workMs: number;
  /** Chance that a handler's transaction adds an item to another queue. */
  readonly follows: number;
}

export interface Plan {
  readonly seed: number;
  readonly store: "memory" | "sqlite";
  readonly processes: number;
  /** So many of them only add: they never start their engine. */
  readonly producers: number;
  readonly steps: number;
  /** Time between two steps on average, ms. */
  readonly stepMs: number;
  readonly leaseMs: number;
  readonly heartbeatMs: number;
  readonly tickIntervalMs: number;
  readonly pollMs: number;
  readonly maxCrashes: number;
  readonly queues: readonly QueuePlan[];
  readonly faults: Faults;
  /** Chance of an add per step. */
  readonly addRate: number;
  /** Share of adds with idempotency keys; each is repeated now and then. */
  readonly keyed: number;
  /** Chance of one of the rarer calls per step: flush, pause, drain, stop, redrive, … */
  readonly controlRate: number;
  /** Share of items that fail for a while, and of those that always do. */
  readonly flaky: number;
  readonly poison: number;
  /** Chance per add that the item kills its process. */
  readonly killers: number;
  /** Nothing goes wrong but items: then everything must also happen in time. */
  readonly calm: boolean;
  /** At the end everybody is restarted; otherwise only those who are down. */
  readonly restartAll: boolean;
}

/** One seed in so many runs on SQLite. */
const SQLITE_EVERY = 10;

/** Share of seeds in which some queues are throttled. */
const THROTTLED = 0.2;

/** Share of seeds in which some queues have a hook that changes their batches. */
const HOOKED = 0.25;

/** Share of seeds in which some queues leave duplicates out. */
const DEDUPLICATED = 0.2;

/** Share of seeds in which some queues have a limit on what is pending. */
const LIMITED = 0.15;

/** Share of seeds in which nothing goes wrong. */
const CALM = 0.2;

export const NO_FAULTS: Faults = {
  crash: 0,
  pause: 0,
  clockStep: 0,
  lostReply: 0,
  ioError: 0,
  busy: 0,
  slow: 0,
  outage: 0,
  deaf: false,
  handlerThrows: 0,
};

/** Run lengths: short ones find some bugs sooner, long ones find those that need many leases. */
const STEPS = [100, 100, 100, 100, 100, 400, 400, 400, 400, 2000];

/** The plan of a seed. */
export function planOf(seed: number): Plan {
  // Seeds that follow one another must not have plans that resemble one another.
  const rng = new Rng(Math.imul(seed + 1, 0x9e_37_79_b1));
  rng.unit();
  const leaseMs = rng.whole(300, 2000);
  const calm = rng.chance(CALM);
  const processes = rng.whole(1, 4);
  const names = ["alpha", "beta", "gamma"].slice(0, rng.whole(1, 3));
  const store = seed % SQLITE_EVERY === 7 ? "sqlite" : "memory";
  const plan: Plan = {
    seed,
    store,
    processes,
    producers: rng.chance(calm ? 0.6 : 0.3) ? rng.whole(0, processes - 1) : 0,
    steps: store === "sqlite" ? rng.pick([100, 400]) : rng.pick(STEPS),
    stepMs: leaseMs / rng.pick([10, 20, 40]),
    leaseMs,
    heartbeatMs: Math.ceil(leaseMs / rng.whole(3, 5)),
    tickIntervalMs: rng.whole(100, 1000),
    pollMs: rng.whole(20, 300),
    maxCrashes: rng.whole(1, 3),
    queues: names.map((name) => queueOf(name, rng, leaseMs)),
    faults: calm ? { ...NO_FAULTS, deaf: rng.chance(0.2) } : faultsOf(rng),
    calm,
    addRate: rng.between(0.1, 0.8),
    controlRate: rng.between(0, 0.05),
    flaky: rng.chance(0.6) ? rng.between(0, 0.2) : 0,
    poison: rng.chance(0.4) ? rng.between(0, 0.06) : 0,
    killers: !calm && rng.chance(0.3) ? rng.between(0, 0.01) : 0,
    restartAll: !calm && rng.chance(0.5),
    keyed: rng.chance(0.25) ? rng.between(0.1, 0.6) : 0,
  };
  const queues = rng.chance(THROTTLED) ? throttled(plan.queues, rng) : plan.queues;
  const prepared = rng.chance(HOOKED) ? hooked(queues, rng) : queues;
  const some = rng.chance(DEDUPLICATED) ? deduplicated(prepared, rng) : prepared;
  return { ...plan, queues: rng.chance(LIMITED) ? limited(some, rng) : some };
}

/** A handler that adds to a full queue would fail for no reason of its items. */
function limited(queues: readonly QueuePlan[], rng: Rng): QueuePlan[] {
  return queues.map((queue) => {
    const policy = rng.pick(["reject", "wait"] as const);
    const maxPending = { items: rng.whole(queue.maxSize, 40), policy };
    return { ...queue, follows: 0, ...(rng.chance(0.7) ? { maxPending } : {}) };
  });
}

function deduplicated(queues: readonly QueuePlan[], rng: Rng): QueuePlan[] {
  return queues.map((queue) => ({ ...queue, deduplicates: rng.chance(0.7) }));
}

function hooked(queues: readonly QueuePlan[], rng: Rng): QueuePlan[] {
  return queues.map((queue) => ({ ...queue, reorders: rng.chance(0.7) }));
}

function throttled(queues: readonly QueuePlan[], rng: Rng): QueuePlan[] {
  return queues.map((queue) => {
    const throttle = { max: rng.whole(1, 6), duration: rng.whole(20, 400) };
    return rng.chance(0.7) ? { ...queue, throttle } : queue;
  });
}

function queueOf(name: string, rng: Rng, leaseMs: number): QueuePlan {
  const groups = ["", "a", "b", "c", "d"].slice(0, rng.whole(1, 5));
  const grouped = rng.chance(0.7);
  return {
    name,
    maxSize: rng.pick([1, 2, 3, 5, 8, 20]),
    maxBytes: rng.chance(0.25) ? rng.whole(180, 600) : Number.POSITIVE_INFINITY,
    maxWaitMs: Math.trunc(rng.pick([1, 20, 100, leaseMs / 2, leaseMs * 2])),
    groups: grouped ? groups : [],
    groupConcurrency: rng.pick([1, 1, 1, 2, 3]),
    concurrency: rng.whole(1, 4),
    retries: {
      max: rng.whole(0, 3),
      strategy: rng.pick(["exponential", "fixed"] as const),
      baseDelay: rng.whole(0, 200),
      maxDelay: rng.whole(200, 1000),
      jitter: rng.pick([0, 0, 0.5]),
    },
    onFailure: rng.pick(["retry", "bisect"] as const),
    throttle: undefined,
    reorders: false,
    deduplicates: false,
    timeout: rng.chance(0.3) ? rng.whole(20, leaseMs) : undefined,
    onDead: rng.chance(0.5),
    transactional: rng.chance(0.6),
    workMs: rng.pick([0, 1, 10, leaseMs / 10, leaseMs / 2]),
    follows: rng.chance(0.2) ? 0.3 : 0,
  };
}

/** Faults of a run: each of them is there in half of the runs. */
export function faultsOf(rng: Rng): Faults {
  const some = (most: number): number => (rng.chance(0.5) ? rng.between(0, most) : 0);
  return {
    crash: some(0.03),
    pause: some(0.03),
    clockStep: some(0.03),
    lostReply: some(0.08),
    ioError: some(0.06),
    busy: some(0.06),
    slow: some(0.2),
    outage: some(0.01),
    deaf: rng.chance(0.2),
    handlerThrows: some(0.1),
  };
}
