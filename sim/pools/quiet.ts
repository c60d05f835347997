/** The second half of a run of pools: the faults are over, so every task must come to its end. */
import type { Storage } from "batchwork";
import { send, settle, stop } from "./actions.ts";
import { audit, isTold, untold } from "./checks.ts";
import type { TaskRecord } from "./records.ts";
import type { SimTask } from "./task.ts";
import type { PoolsWorld } from "./world.ts";

/** When all is quiet everything ends within so many leases, … */
const QUIET_LEASES = 80;
/** … the time that tasks and their delays take, and this much besides, ms. */
const QUIET_MS = 30_000;
/** Whoever is told is told again after a delay that grows while it fails. */
const TOLD_MS = 300_000;

/** Everything comes to its end, then one more task of each pool does, then all stop. */
export async function quieten(
  world: PoolsWorld,
  auditor: Storage,
  pass: (ms: number) => Promise<void>,
): Promise<void> {
  const { plan, places, ledger } = world;
  world.note("world", "faults end");
  world.control.on = false;
  for (const place of places) {
    if (place.life !== null && plan.restartAll) world.bury(place.life);
    if (place.life === null) place.startAt = 0;
    else place.life.outageUntil = 0;
  }
  const rest = async (): Promise<void> => comeToRest(world, auditor, pass);
  do await rest();
  while (world.up().length === 0 && ledger.violation === null);
  if (ledger.violation !== null) return;
  const last = sendLast(world);
  await rest();
  for (const { uid } of last) {
    if (ledger.byUid.get(uid)?.end?.kind === "success") continue;
    ledger.fail("drains when faults end", `${uid} was enqueued at the end, and did not succeed`);
  }
  await stopAll(world, pass);
  await audit(world, auditor);
}

async function comeToRest(
  world: PoolsWorld,
  auditor: Storage,
  pass: (ms: number) => Promise<void>,
): Promise<void> {
  const { plan, scheduler, ledger } = world;
  const endAt = scheduler.now + QUIET_MS + QUIET_LEASES * plan.leaseMs + workMs(world);
  while (ledger.violation === null) {
    world.startDue();
    help(world);
    await pass(plan.leaseMs / 4);
    const isOver = isDone(world);
    if (isOver && (await isTold(world, auditor))) return;
    if (!isOver && scheduler.now > endAt) notDrained(world);
    if (scheduler.now > endAt + TOLD_MS) {
      const ids = untold(world).map(({ id }) => id);
      ledger.fail("whoever ends is told of, once", `not of ${ids.join(" ")}`);
    }
  }
}

/** Begins the names of calls that are made to bring all to an end. */
const HELP = "at the end: ";

/** What users do who want everything to end. */
function help(world: PoolsWorld): void {
  const [life] = world.up();
  if (life === undefined || [...life.waiting].some((call) => call.startsWith(HELP))) return;
  for (const { paused, override, plan } of world.ledger.pools.values()) {
    const pool = life.pools.find(({ name }) => name === plan.name);
    if (pool === undefined) continue;
    if (paused) settle(world, life, `${HELP}resume ${plan.name}`, async () => pool.resume());
    if (override !== null) {
      const free = async (): Promise<void> => pool.config.update({ maxParallelism: null });
      settle(world, life, `${HELP}free ${plan.name}`, free);
    }
    const endless = world.ledger
      .unfinished()
      .filter((task) => task.pool.plan === plan && task.args.fate.kind === "endless");
    const ids = endless.map(({ id }) => id);
    if (ids.length === 0) continue;
    settle(world, life, `${HELP}cancel ${ids.join(" ")}`, async () => pool.cancelBatch(ids));
  }
}

/** An upper bound of the time that what is left takes, one after another. */
function workMs({ ledger, plan }: PoolsWorld): number {
  const each = ({ args, pool }: TaskRecord): number => {
    const { retry, throttle } = pool.plan;
    const attempts = args.maxAttempts + plan.maxCrashes + 1;
    const kills = args.fate.kind === "kills" ? plan.maxCrashes + 3 : 0;
    const work = attempts * (args.workMs + retry.maxBackoffMs) + kills * 6 * plan.leaseMs;
    return work + args.afterMs + attempts * 2 * (throttle?.duration ?? 0);
  };
  return ledger.unfinished().reduce((sum, task) => sum + each(task), 0);
}

function isDone(world: PoolsWorld): boolean {
  const { ledger } = world;
  if (world.alive().some(({ waiting }) => waiting.size > 0)) return false;
  return [...ledger.pools.values()].every(({ live }) => live.size === 0);
}

function notDrained(world: PoolsWorld): void {
  const { ledger } = world;
  const left = [...ledger.pools.values()].flatMap(({ live }) => [...live]);
  const tasks = left.map(({ id, slice, attempt, at, args }) => {
    const where = slice === null ? `waits from ${at}` : `is with ${slice.owner}`;
    return `${id} (${args.fate.kind}, attempt ${attempt}) ${where}`;
  });
  const calls = world.alive().flatMap(({ waiting }) => [...waiting]);
  ledger.fail("drains when faults end", `${tasks.join("; ")}; calls: ${calls.join(", ")}`);
}

/** However the run went, each pool still runs tasks. */
function sendLast(world: PoolsWorld): SimTask[] {
  const [life] = world.up();
  if (life === undefined) return [];
  return world.plan.pools.map((plan, n): SimTask => {
    const { maxAttempts } = plan.retry;
    const common = { serialKey: "", priority: 0, afterMs: 0, maxAttempts };
    const made = world.newTask(plan, common, false);
    const fate = { kind: "works", until: 0, final: false } as const;
    const task: SimTask = { ...made, fate, workMs: 1 };
    send(world, life, n, [task]);
    return task;
  });
}

/** Everybody stops in good order, and leaves nothing behind. */
async function stopAll(world: PoolsWorld, pass: (ms: number) => Promise<void>): Promise<void> {
  const { plan, ledger } = world;
  const stopping = world.alive();
  for (const life of stopping) if (life.state === "up") stop(world, life, plan.leaseMs);
  const isOver = (): boolean => stopping.every(({ clock }) => clock.dead);
  for (let n = 0; n < 400 && !isOver(); n++) await pass(plan.leaseMs / 10);
  if (!isOver()) ledger.fail("nothing left after stop", "stop() did not end");
}
