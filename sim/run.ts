/** One run of one seed: faults and checks first, then quiet, and everything must come to an end. */
import type { Storage } from "batchwork";
import { act } from "./actions.ts";
import { STILL } from "./checks.ts";
import { Ledger } from "./ledger/ledger.ts";
import type { QueuePolicy } from "./ledger/records.ts";
import type { Mutant } from "./mutants/mutant.ts";
import { check, pass } from "./pass.ts";
import { planOf, type Plan } from "./plan.ts";
import { liveness } from "./quiet.ts";
import { Rng } from "./rng.ts";
import { Scheduler } from "./scheduler.ts";
import { openStore } from "./stores.ts";
import { totalsOf, type RunTotals } from "./totals.ts";
import { Trace } from "./trace.ts";
import { ViolationError } from "./violation.ts";
import { World, type Parts } from "./world.ts";

export interface RunOptions {
  readonly mutant?: Mutant;
  /** Instead of the seed's own plan. */
  readonly plan?: Plan;
  /** Instead of random faults of storage calls. */
  readonly schedule?: NonNullable<Parts["schedule"]>;
  /** Shows each line of the trace as it happens. */
  readonly print?: (line: string) => void;
}

export interface RunResult {
  readonly seed: number;
  readonly plan: Plan;
  readonly violation: ViolationError | null;
  /** How far the run came, steps. */
  readonly step: number;
  /** The last lines of the trace. */
  readonly tail: readonly string[];
  /** Equal for two runs in which the same things happened. */
  readonly hash: string;
  readonly totals: RunTotals;
}

/** The storage is asked after so many steps, and compared with the ledger. */
const AUDIT_EVERY = 50;

/** Runs one seed. */
export async function run(seed: number, options: RunOptions = {}): Promise<RunResult> {
  const plan = options.plan ?? planOf(seed);
  const trace = new Trace(options.print);
  const rng = new Rng(seed);
  const scheduler = new Scheduler(rng);
  const store = openStore(plan.store);
  const ledger = new Ledger({
    scheduler,
    trace,
    policies: policiesOf(plan),
    maxCrashes: plan.maxCrashes,
    effectsOf: (uid) => store.effectsOf(uid),
  });
  const mutant = options.mutant?.begin() ?? null;
  const schedule = options.schedule ?? null;
  const world = new World({ plan, rng, scheduler, ledger, store, mutant, schedule });
  const uncaught = (error: unknown): void => {
    ledger.fail("uncaught error", error instanceof Error ? String(error.stack) : String(error));
  };
  process.on("unhandledRejection", uncaught);
  const progress = { step: 0 };
  try {
    const { storage: auditor } = store.open();
    await auditor.open({ clock: STILL });
    await safety(world, auditor, progress);
    await liveness(world, auditor);
    await auditor.close();
  } catch (error) {
    if (error instanceof ViolationError) ledger.violation = error;
    else uncaught(error);
  } finally {
    for (const { life } of world.slots) life?.clock.kill();
    await scheduler.rest();
    process.off("unhandledRejection", uncaught);
  }
  const totals = totalsOf(world);
  store.close();
  const { violation } = ledger;
  return { seed, plan, violation, ...progress, tail: trace.tail(), hash: trace.digest(), totals };
}

function policiesOf(plan: Plan): Map<string, QueuePolicy> {
  const policies = new Map<string, QueuePolicy>();
  for (const { name, retries, onFailure, transactional, timeout } of plan.queues) {
    const { max, ...delays } = retries;
    policies.set(name, { ...delays, maxAttempts: max + 1, onFailure, transactional, timeout });
  }
  return policies;
}

/** Faults are on, and after every step everything that was promised holds. */
async function safety(world: World, auditor: Storage, progress: { step: number }): Promise<void> {
  const { plan, rng } = world;
  while (progress.step < plan.steps) {
    progress.step++;
    act(world);
    await pass(world, rng.exponential(plan.stepMs));
    if (progress.step % AUDIT_EVERY === 0) await check(world, auditor);
  }
  await check(world, auditor);
}
