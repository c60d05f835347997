/** The loop of a worker: one mutation per turn, one turn at a time. */
import type { FunctionHandle } from "convex/server";
import { v, type Value } from "convex/values";
import { log } from "../base/log.js";
import { errorText } from "../base/sizes.js";
import { retryDelayMs, type RetryPolicy } from "../core/retry.js";
import type { Doc } from "./_generated/dataModel.js";
import { env, internalMutation, type MutationCtx } from "./_generated/server.js";
import { answerOf, digestOf, isSame } from "./answer.js";
import { bury } from "./dead.js";
import { BACKOFF_MS, BACKOFF_MS_MAX, LIMIT_MAX, TIMEOUT_MS_MIN } from "./limits.js";
import type { Answer } from "./validators.js";
import { configOf, delayOf, loopOf, proceed, unwatch, watch, type Memory } from "./wake.js";

function backoffOf(worker: Doc<"workers">): RetryPolicy {
  const { baseDelay = BACKOFF_MS, maxDelay = BACKOFF_MS_MAX } = configOf(worker).backoff ?? {};
  return { max: 0, strategy: "exponential", baseDelay, maxDelay, jitter: 0 };
}

interface Turn {
  readonly worker: Doc<"workers">;
  readonly loop: Doc<"loops">;
}

/** One turn. A number that is not the next one belongs to a turn that was superseded. */
export const turn = internalMutation({
  args: { worker: v.id("workers"), turn: v.number() },
  returns: v.null(),
  handler: async (ctx, args) => {
    const loop = await loopOf(ctx, args.worker);
    if (loop === null || loop.turn !== args.turn) return null;
    const worker = await ctx.db.get("workers", args.worker);
    if (worker === null || worker.state === "stopped") return null;
    if (worker.state === "idle") {
      // Its timer rang. From here on it is watched as any other that runs.
      await ctx.db.patch("workers", worker._id, { state: "running", warned: false });
      await watch(ctx, worker, { turn: loop.turn + 1, at: Date.now() });
    }
    const answer = await attempt(() => ask(ctx, { worker, loop }, true));
    if (answer.error !== undefined) await fail(ctx, { worker, loop }, answer.error);
    else if (answer.value.kind === "work") await work(ctx, { worker, loop }, answer.value);
    else await rest(ctx, { worker, loop }, answer.value);
    return null;
  },
});

type Attempt<T> = { value: T; error?: never } | { error: string };

/** What a function of the user's returned, or why it did not. */
async function attempt<T>(call: () => Promise<T>): Promise<Attempt<T>> {
  try {
    return { value: await call() };
  } catch (thrown) {
    return { error: errorText(thrown) };
  }
}

/**
 * Asks the work query. A stale read is not in the way of calls that insert work; whether there is
 * none is asked with a real one.
 */
async function ask(ctx: MutationCtx, { worker, loop }: Turn, stale: boolean): Promise<Answer> {
  const { cursor, limit } = loop;
  const args = {
    name: worker.name,
    ...(cursor === undefined ? {} : { cursor }),
    ...(limit === undefined ? {} : { limit }),
  };
  const handle = worker.workQuery as FunctionHandle<"query">;
  const options = { useStaleSnapshot: stale };
  return answerOf(await ctx.runQuery(handle, args, options));
}

/** The batch, its cursor and the next turn commit together, or none of them. */
async function work(
  ctx: MutationCtx,
  at: Turn,
  answer: Extract<Answer, { kind: "work" }>,
): Promise<void> {
  const { worker, loop } = at;
  const handle = worker.workerMutation as FunctionHandle<"mutation">;
  const before = await writtenBy(ctx);
  const done = await attempt(() => ctx.runMutation(handle, answer.batch));
  if (done.error !== undefined) {
    await failBatch(ctx, at, answer, done.error);
    return;
  }
  const steer = (done.value ?? {}) as { debounceMs?: number; cursor?: Value };
  const cursor = steer.cursor ?? answer.cursor ?? loop.cursor;
  const hasMoved = !isSame(cursor, loop.cursor) || (await writtenBy(ctx)) > before;
  const untouched = hasMoved || steer.debounceMs !== undefined ? undefined : digestOf(answer.batch);
  const memory = { cursor, untouched, workedAt: Date.now() };
  const after = await loopOf(ctx, worker._id);
  if (after?.turn !== loop.turn) {
    // The mutation itself stopped, kicked or removed its worker: that stands.
    if (after !== null) await ctx.db.patch("loops", after._id, { cursor });
    return;
  }
  if (untouched !== undefined && untouched === loop.untouched) {
    await fail(ctx, at, UNTOUCHED, memory);
    return;
  }
  await recover(ctx, at);
  const grown = loop.limit === undefined ? undefined : loop.limit * 2;
  const limit = grown === undefined || grown > LIMIT_MAX ? undefined : grown;
  const healthy = { failures: 0, poison: undefined, limit };
  await proceed(ctx, loop, delayOf(steer.debounceMs), { ...memory, ...healthy });
}

/**
 * A batch that threw comes again; with `isolate` as a smaller one: what fails is soon alone.
 * One that is out of attempts is given up, if there is a way past it.
 */
async function failBatch(
  ctx: MutationCtx,
  at: Turn,
  { batch, cursor }: Extract<Answer, { kind: "work" }>,
  error: string,
): Promise<void> {
  const { worker, loop } = at;
  const { isolate = false, maxAttempts = Number.POSITIVE_INFINITY } = configOf(worker);
  const digest = digestOf(batch);
  const attempts = loop.poison?.digest === digest ? loop.poison.attempts + 1 : 1;
  const limit = isolate ? { limit: 1 } : {};
  const isAlone = !isolate || loop.limit === 1;
  const hasWayOut = worker.onDead !== undefined || cursor !== undefined;
  if (isAlone && attempts >= maxAttempts && hasWayOut) {
    const problem = await bury(ctx, worker, { batch, error, attempts });
    if (problem === null) {
      const { name } = worker;
      log(env.LOG_LEVEL, "ERROR", "worker.batch_dead", { name, attempts, message: error });
      await recover(ctx, at);
      const over = { cursor: cursor ?? loop.cursor, poison: undefined, failures: 0 };
      await proceed(ctx, loop, 0, { ...over, ...limit, workedAt: Date.now() });
      return;
    }
    await fail(ctx, at, problem, { poison: { digest, attempts }, ...limit });
    return;
  }
  // Smaller at once: what was together with it need not wait.
  const isShrinking = isolate && loop.limit !== undefined && loop.limit > 1;
  const memory = { poison: { digest, attempts }, ...limit };
  if (isShrinking) await proceed(ctx, loop, 0, memory);
  else await fail(ctx, at, error, memory);
}

const UNTOUCHED =
  "The same batch came again: the worker mutation wrote nothing, and the cursor is where it was. " +
  "Delete or mark what was processed, or return a cursor.";

async function writtenBy(ctx: MutationCtx): Promise<number> {
  return (await ctx.meta.getTransactionMetrics()).documentsWritten.used;
}

/** Nothing to do, says a stale read. */
async function rest(
  ctx: MutationCtx,
  at: Turn,
  answer: Extract<Answer, { kind: "idle" }>,
): Promise<void> {
  const { worker, loop } = at;
  await recover(ctx, at);
  const healthy = { failures: 0, untouched: undefined, poison: undefined, limit: undefined };
  if (Date.now() < loop.workedAt + answer.cooldownMs) {
    await proceed(ctx, loop, answer.pollIntervalMs, healthy);
    return;
  }
  // A call that commits meanwhile either is seen here, or sees the sleeping worker.
  const sure = await attempt(() => ask(ctx, at, false));
  if (sure.error !== undefined) await fail(ctx, at, sure.error);
  else if (sure.value.kind === "work") await proceed(ctx, loop, 0, healthy);
  else await sleep(ctx, worker, loop, sure.value.timeoutMs);
}

async function sleep(
  ctx: MutationCtx,
  worker: Doc<"workers">,
  loop: Doc<"loops">,
  timeoutMs: number | undefined,
): Promise<void> {
  const healthy = { failures: 0, untouched: undefined, poison: undefined, limit: undefined };
  await ctx.db.patch("workers", worker._id, { state: "idle" });
  if (timeoutMs === undefined) {
    await unwatch(ctx, worker._id);
    const over = { ...healthy, turn: loop.turn + 1, run: undefined };
    await ctx.db.patch("loops", loop._id, over);
    return;
  }
  const delay = delayOf(timeoutMs, TIMEOUT_MS_MIN);
  await proceed(ctx, loop, delay, healthy);
  // A timer is all that would wake it: it is looked after like a loop that runs.
  await watch(ctx, worker, { turn: loop.turn + 1, at: Date.now() + delay });
}

/** A turn that threw wrote nothing. It comes again, later each time, and pings do not hurry it. */
async function fail(ctx: MutationCtx, at: Turn, message: string, memory?: Memory): Promise<void> {
  const { worker, loop } = at;
  const failures = loop.failures + 1;
  const delay = retryDelayMs(backoffOf(worker), failures, 0);
  const { name } = worker;
  const level = failures === 1 ? "ERROR" : "WARN";
  log(env.LOG_LEVEL, level, "worker.failed", { name, failures, message, retryInMs: delay });
  if (!worker.failing) await ctx.db.patch("workers", worker._id, { failing: true });
  const lastError = { message, at: Date.now() };
  await proceed(ctx, loop, delay, { ...memory, failures, lastError });
}

async function recover(ctx: MutationCtx, { worker }: Turn): Promise<void> {
  if (worker.failing) await ctx.db.patch("workers", worker._id, { failing: false });
}
