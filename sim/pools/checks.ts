/** What must hold when the storage itself is asked where the tasks are. */
import type { Storage } from "batchwork";
import type { FoundTask } from "../../packages/batchwork/src/storage/pools.ts";
import type { PoolRecord, TaskRecord } from "./records.ts";
import type { SimReturn } from "./task.ts";
import type { PoolsWorld } from "./world.ts";

/** Compares the storage with the ledger. */
export async function audit(world: PoolsWorld, auditor: Storage): Promise<void> {
  const { ledger } = world;
  for (const pool of ledger.pools.values()) {
    const tasks = [...ledger.tasks.values()].filter((task) => task.pool === pool);
    const ids = tasks.map(({ id }) => id);
    const found = await auditor.pools.findTasks(pool.queue, ids);
    for (const [n, task] of tasks.entries()) {
      const one = found[n] as FoundTask;
      if (isWhereItIs(task, one)) continue;
      const { id, end, slice, attempt, at } = task;
      const known = end ?? (slice === null ? `waits for attempt ${attempt} at ${at}` : "runs");
      const detail = `${id} is ${JSON.stringify(one)}, not ${JSON.stringify(known)}`;
      ledger.fail("results are right and stay", detail);
    }
    await checkCounts(world, auditor, pool);
  }
}

function isWhereItIs(
  { end, slice, attempt, at, canceled, pool }: TaskRecord,
  one: FoundTask,
): boolean {
  if (end === null) {
    if (slice !== null) return one.status === "running" && one.attempt === attempt;
    return one.status === "pending" && one.attempt === attempt && one.dueAt === at;
  }
  // Cancelled without a trace, it holds its place for a while.
  if (!pool.plan.keepsResults) return one.status === (canceled ? "running" : "unknown");
  if (one.status !== "finished" || one.kind !== end.kind) return false;
  if (end.kind === "failed") return (one.error?.code === "CRASHED") === end.crashed;
  if (end.kind === "canceled") return true;
  const value = one.value === null ? null : (JSON.parse(one.value as string) as SimReturn);
  return value?.uid === end.value?.uid && value?.attempt === end.value?.attempt;
}

async function checkCounts(
  { ledger }: PoolsWorld,
  auditor: Storage,
  pool: PoolRecord,
): Promise<void> {
  if (pool.plan.maxPending !== undefined) {
    const { items } = await auditor.pending(pool.queue);
    if (items !== pool.live.size) {
      const detail = `${pool.plan.name}: ${items} are pending, not ${pool.live.size}`;
      ledger.fail("counts add up", detail);
    }
  }
  const counts = await auditor.pools.counts(pool.queue);
  const live = [...pool.live];
  const known = {
    paused: pool.paused,
    parallelism: pool.override,
    unstarted: live.filter(({ slice }) => slice === null).length,
    running: pool.leased,
    canceling: live.filter(({ canceled }) => canceled).length,
    dead: pool.dead,
  };
  const { paused, parallelism, waiting, delayed, running, canceling, dead } = counts;
  const stored = { paused, parallelism, unstarted: waiting + delayed, running, canceling, dead };
  if (JSON.stringify(known) === JSON.stringify(stored)) return;
  const detail = `${pool.plan.name}: ${JSON.stringify(stored)}, not ${JSON.stringify(known)}`;
  ledger.fail("counts add up", detail);
}

/** When all is over: each end was told of, and each call was carried out as a whole. */
export async function checkEnd(world: PoolsWorld, auditor: Storage): Promise<void> {
  const { ledger, bulks, plan, store } = world;
  for (const uids of bulks) {
    const there = uids.filter((uid) => ledger.byUid.has(uid));
    if (there.length === 0 || there.length === uids.length) continue;
    const detail = `of ${uids.join(" ")} only ${there.join(" ")} are there`;
    ledger.fail("enqueue is all or nothing", detail);
  }
  const silent = await untellable(world, auditor);
  for (const { id, end, told, args } of untold(world)) {
    if (silent.has(id)) continue;
    const detail = `${id} ended as ${end?.kind}; told ${told} times, ${store.effectsOf(args.uid)} effects`;
    ledger.fail("whoever ends is told of, once", detail);
  }
  for (const task of ledger.tasks.values()) {
    if (!plan.calm || task.calls === task.grants) continue;
    const detail = `${task.id} ran ${task.calls} times, was handed over ${task.grants} times`;
    ledger.fail("runs as often as attempted", detail);
  }
}

/** Nobody was told of it, although there is somebody; or its effects are there more than once. */
function isUntold({ store }: PoolsWorld, { told, pool, args }: TaskRecord): boolean {
  const { told: who } = pool.plan;
  if (who === "nobody") return false;
  // The transaction may have been carried out, and its reply lost.
  return who === "in a transaction" ? store.effectsOf(args.uid) !== 1 : told === 0;
}

/** Tasks that are over, and that nobody was told of. */
export function untold(world: PoolsWorld): TaskRecord[] {
  const ended = [...world.ledger.tasks.values()].filter(({ end }) => end !== null);
  return ended.filter((task) => isUntold(world, task));
}

/** True when every end was told of that can be. */
export async function isTold(world: PoolsWorld, auditor: Storage): Promise<boolean> {
  const left = untold(world);
  if (left.length === 0) return true;
  const silent = await untellable(world, auditor);
  return left.every(({ id }) => silent.has(id));
}

/** Tasks of whose end nobody can be told: each process died that ran the callback alone. */
async function untellable({ ledger }: PoolsWorld, auditor: Storage): Promise<Set<string>> {
  const ids = new Set<string>();
  for (const { callbacks } of ledger.pools.values()) {
    if (callbacks === null) continue;
    const query = { queue: callbacks, group: null, after: 0, limit: 1000 };
    for (const { payload, error } of await auditor.deadLetters(query)) {
      if (error.code !== "CRASHED") continue;
      const told = JSON.parse(payload as string) as { id?: string; ended?: string };
      ids.add(told.id ?? told.ended ?? "");
    }
  }
  return ids;
}
