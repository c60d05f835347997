/** What one run of pools did and suffered, in numbers. */
import type { PoolsWorld } from "./world.ts";

export interface PoolTotals {
  readonly acknowledged: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly canceled: number;
  readonly calls: number;
  readonly claims: number;
  readonly retries: number;
  readonly crashes: number;
  /** Tasks that died because they killed their process. */
  readonly crashed: number;
  readonly stoppedByCancel: number;
  readonly told: number;
  readonly injected: Readonly<Record<string, number>>;
  /** Virtual time, ms. */
  readonly virtualMs: number;
  readonly events: number;
}

export function poolTotalsOf(world: PoolsWorld): PoolTotals {
  const tasks = [...world.ledger.tasks.values()];
  const ended = (kind: string): number => tasks.filter(({ end }) => end?.kind === kind).length;
  const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
  return {
    acknowledged: world.acknowledged,
    succeeded: ended("success"),
    failed: ended("failed"),
    canceled: ended("canceled"),
    calls: world.calls,
    claims: sum(tasks.map(({ grants }) => grants)),
    retries: sum(tasks.map(({ attempt }) => attempt - 1)),
    crashes: world.crashes,
    crashed: tasks.filter(({ end }) => end?.kind === "failed" && end.crashed).length,
    stoppedByCancel: world.stoppedByCancel,
    told: sum(tasks.map(({ told }) => told)),
    injected: world.control.injected,
    virtualMs: world.scheduler.now,
    events: world.scheduler.fired,
  };
}
