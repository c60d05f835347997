/**
 * One run of pools on virtual time: processes that die, are suspended and stop, tasks of all kinds,
 * users that cancel, pause and change limits, and a storage that fails. First with faults, then
 * quiet: everything that was enqueued must come to its end, once.
 */
import type { Storage } from "batchwork";
import { STILL } from "../checks.ts";
import { Rng } from "../rng.ts";
import { Trace } from "../trace.ts";
import { act } from "./actions.ts";
import { audit, checkEnd } from "./checks.ts";
import { InTime } from "./in-time.ts";
import type { PoolMutant } from "./mutants/mutant.ts";
import { poolsPlanOf, type PoolsPlan } from "./plan.ts";
import { quieten } from "./quiet.ts";
import { poolTotalsOf, type PoolTotals } from "./totals.ts";
import type { PoolViolation } from "./violation.ts";
import { PoolsWorld } from "./world.ts";

export interface PoolRunResult {
  readonly seed: number;
  readonly plan: PoolsPlan;
  readonly violation: PoolViolation | null;
  /** How far the run came, steps. */
  readonly step: number;
  readonly tail: readonly string[];
  readonly hash: string;
  readonly totals: PoolTotals;
}

export interface PoolRunOptions {
  readonly mutant?: PoolMutant;
  readonly print?: (line: string) => void;
}

/** The storage is asked after so many steps, and compared with the ledger. */
const AUDIT_EVERY = 25;

export async function runPools(seed: number, options: PoolRunOptions = {}): Promise<PoolRunResult> {
  const plan = poolsPlanOf(seed);
  const trace = new Trace(options.print);
  const rng = new Rng(seed);
  const world = new PoolsWorld(plan, rng, trace, options.mutant?.begin() ?? null);
  const { ledger } = world;
  const uncaught = (error: unknown): void => {
    ledger.fail("uncaught error", error instanceof Error ? String(error.stack) : String(error));
  };
  process.on("unhandledRejection", uncaught);
  const progress = { step: 0 };
  try {
    await play(world, progress);
  } catch (error) {
    uncaught(error);
  } finally {
    for (const life of world.alive()) world.bury(life);
    await world.scheduler.rest();
    world.clearAway();
    process.off("unhandledRejection", uncaught);
  }
  const totals = poolTotalsOf(world);
  world.store.close();
  const { violation } = ledger;
  return { seed, plan, violation, ...progress, tail: trace.tail(), hash: trace.digest(), totals };
}

async function play(world: PoolsWorld, progress: { step: number }): Promise<void> {
  const { plan, rng, scheduler, ledger, store } = world;
  const { storage } = store.open();
  const auditor = world.mutant?.storage?.(storage) ?? storage;
  await auditor.open({ clock: STILL });
  const inTime = new InTime(world);
  const afterEach = (): void => {
    if (plan.calm && !plan.faults.deaf) inTime.check();
  };
  const pass = async (ms: number): Promise<void> => {
    // What was called outside an event is done before time passes.
    await scheduler.rest();
    await scheduler.pass(ms, afterEach);
    world.clearAway();
  };
  while (progress.step < plan.steps && ledger.violation === null) {
    progress.step++;
    act(world);
    await pass(rng.exponential(plan.stepMs));
    if (progress.step % AUDIT_EVERY === 0) await audit(world, auditor);
  }
  if (ledger.violation === null) await quieten(world, auditor, pass);
  if (ledger.violation === null) await atTheEnd(world, auditor);
  await auditor.close();
}

async function atTheEnd(world: PoolsWorld, auditor: Storage): Promise<void> {
  await audit(world, auditor);
  await checkEnd(world, auditor);
}
