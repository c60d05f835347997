/** What the handlers of simulated tasks do, and what they check about what they are given. */
import {
  hasCode,
  NonRetryableError,
  type Completion,
  type CompletionContext,
  type Facade,
  type TaskContext,
} from "batchwork";
import type { PoolLife, Running } from "./life.ts";
import type { TaskRecord } from "./records.ts";
import { FOREVER, type SimReturn, type SimTask } from "./task.ts";
import type { PoolsWorld } from "./world.ts";

/** Share of the calls of callbacks that fail while things go wrong. */
const CALLBACK_FAILS = 0.1;

/** Share of the callbacks with a transaction that enqueue a task in it. */
const FOLLOWS = 0.2;

export async function runTask(
  world: PoolsWorld,
  life: PoolLife,
  args: SimTask,
  ctx: TaskContext,
): Promise<SimReturn> {
  const { uid, workMs } = args;
  const { id, attempt, signal } = ctx;
  const running = begin(world, life, args, ctx);
  world.calls++;
  const end = (): void => void life.running.delete(running);
  signal.addEventListener("abort", end);
  try {
    if (args.fate.kind === "kills" && world.mayKill(uid, args.fate.times)) {
      world.crash(life, `over ${id}`);
      return await new Promise(() => {
        // Nobody is left to hear of it.
      });
    }
    await sleep(life, args.fate.kind === "endless" ? FOREVER : workMs, signal);
    if (signal.aborted) {
      if (hasCode(signal.reason, "CANCELED")) world.stoppedByCancel++;
      throw signal.reason;
    }
    const { fate } = args;
    if (fate.kind === "works" && attempt <= fate.until) {
      const message = `attempt ${attempt} of ${uid} fails`;
      throw fate.final ? new NonRetryableError(message) : new Error(message);
    }
    if (world.control.on && world.rng.chance(world.plan.faults.handlerThrows)) {
      throw new Error("for no reason");
    }
    return { uid, attempt };
  } finally {
    end();
  }
}

/** Checks that this task may run here and now. */
function begin(world: PoolsWorld, life: PoolLife, args: SimTask, ctx: TaskContext): Running {
  const { ledger } = world;
  const { id, attempt } = ctx;
  const task = ledger.tasks.get(id) as TaskRecord;
  world.note(life.name, `runs ${id} (${args.uid}), attempt ${attempt}`);
  const { serialKey, maxAttempts } = args;
  const isAsAsked = ctx.serialKey === (serialKey === "" ? undefined : serialKey);
  if (task?.args.uid !== args.uid || !isAsAsked || ctx.maxAttempts !== maxAttempts) {
    ledger.fail("a task is what was enqueued", `${id} was run as ${JSON.stringify(args)}`);
  }
  task.calls++;
  task.ran.add(attempt);
  const isOwn = task.slice !== null && ledger.incarnations.get(task.slice.owner) === life.number;
  const slice = isOwn ? task.slice : null;
  if (attempt > maxAttempts || (isOwn && attempt !== task.attempt)) {
    ledger.fail("attempts are counted right", `${id} runs as attempt ${attempt}`);
  }
  for (const other of life.running) {
    if (slice === null || other.slice === null) continue;
    const together = slice.alone || other.slice.alone;
    const isCurrent = ledger.slices.get(other.slice.id) === other.slice;
    if (!together || !isCurrent || other.slice.claim === slice.claim) continue;
    ledger.fail("suspects run apart", `${id} runs beside ${other.task.id}`);
  }
  const running = { task, slice };
  life.running.add(running);
  return running;
}

/** Resolves when the time is up, or the signal aborts. */
async function sleep({ beside }: PoolLife, ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    const timer = ms === FOREVER ? undefined : beside.after(ms, resolve);
    signal.addEventListener("abort", () => {
      timer?.cancel();
      resolve();
    });
  });
}

/** Tasks ended: that must be so, and told as it is. */
export async function tellOf(
  world: PoolsWorld,
  life: PoolLife,
  completions: readonly Completion[],
  ctx?: CompletionContext,
): Promise<void> {
  const { ledger, rng, store, control } = world;
  world.note(life.name, `is told of ${completions.map(({ id }) => id).join(" ")}`);
  if (control.on && rng.chance(CALLBACK_FAILS)) throw new Error("callback fails");
  const tasks = completions.map((completion) => {
    const task = ledger.tasks.get(completion.id);
    if (task === undefined || !isAsItEnded(task, completion)) {
      const detail = `${completion.id} ended as ${JSON.stringify(task?.end)}, was told as`;
      ledger.fail("whoever ends is told of, once", `${detail} ${JSON.stringify(completion)}`);
    }
    return task as TaskRecord;
  });
  const uids = tasks.map(({ args }) => args.uid);
  const follow = control.on && rng.chance(FOLLOWS) ? followUp(world, life) : undefined;
  const id = await ctx?.tx((tx) => {
    store.writeEffects(tx, uids);
    return follow?.enqueue(tx);
  });
  if (follow !== undefined && id !== undefined) {
    world.note(life.name, `enqueued ${id} in the same transaction`);
    world.acknowledge(follow.task, id);
  }
  for (const task of tasks) task.told++;
}

/** A task that exists if and only if the transaction of the callback commits. */
function followUp(
  world: PoolsWorld,
  life: PoolLife,
): { readonly task: SimTask; readonly enqueue: (tx: Facade) => string } | undefined {
  const n = world.plan.pools.findIndex(({ maxPending }) => maxPending === undefined);
  const plan = world.plan.pools[n];
  const pool = life.pools[n];
  if (plan === undefined || pool === undefined) return undefined;
  const { maxAttempts } = plan.retry;
  const common = { serialKey: "", priority: 0, afterMs: 0, maxAttempts };
  const task = world.newTask(plan, common, false);
  const enqueue = (tx: Facade): string =>
    pool.enqueueSync("work", task, { tx, context: task.call });
  return { task, enqueue };
}

function isAsItEnded({ end, args }: TaskRecord, { name, context, result }: Completion): boolean {
  if (end?.kind !== result.kind || name !== "work" || context !== args.call) return false;
  if (end.kind !== "success" || result.kind !== "success") return true;
  const value = result.returnValue as SimReturn | undefined;
  return value?.uid === args.uid && value.attempt === end.value?.attempt;
}
