/** What one seed stands for in a run of workers. */
import { Rng } from "../rng.ts";
import type { Faults } from "../plan.ts";

export interface LoopPlan {
  readonly store: "memory" | "sqlite";
  readonly processes: number;
  readonly steps: number;
  readonly stepMs: number;
  readonly leaseMs: number;
  readonly heartbeatMs: number;
  readonly tickIntervalMs: number;
  readonly debounceMs: number;
  readonly idle: {
    readonly cooldownMs: number;
    readonly pollIntervalMs: number;
    readonly timeoutMs?: number;
  };
  readonly retries: { readonly max: number; readonly baseDelay: number };
  /** Chances per step of the world: rows are inserted; a user stops, starts or kicks. */
  readonly inserts: number;
  readonly asks: number;
  /** Chances per row: it fails, or kills its process. */
  readonly poison: number;
  readonly killers: number;
  readonly faults: Faults;
}

export function loopPlanOf(seed: number): LoopPlan {
  // Not the generator of the run, or the plan would repeat in what happens.
  const rng = new Rng(seed + 100_019);
  const some = (chance: number): number => (rng.chance(0.5) ? rng.unit() * chance : 0);
  const leaseMs = rng.whole(500, 3000);
  return {
    store: seed % 5 === 4 ? "sqlite" : "memory",
    processes: rng.whole(1, 3),
    steps: rng.whole(60, 160),
    stepMs: rng.between(5, 200),
    leaseMs,
    heartbeatMs: Math.floor(leaseMs / 3),
    tickIntervalMs: rng.whole(100, 1000),
    debounceMs: rng.pick([0, 0, 10, 100]),
    idle: {
      cooldownMs: rng.pick([0, 0, 20, 200]),
      pollIntervalMs: rng.pick([5, 50]),
      ...(rng.chance(0.2) ? { timeoutMs: rng.whole(100, 10_000) } : {}),
    },
    retries: { max: rng.whole(1, 3), baseDelay: rng.whole(5, 200) },
    inserts: rng.between(0.1, 0.6),
    asks: some(0.2),
    poison: some(0.1),
    killers: some(0.03),
    faults: {
      crash: some(0.05),
      pause: some(0.05),
      clockStep: some(0.05),
      lostReply: some(0.05),
      ioError: some(0.05),
      busy: some(0.05),
      slow: some(0.1),
      outage: 0,
      deaf: false,
      handlerThrows: 0,
    },
  };
}
