/** An app of `@convex-dev/workpool` 0.4.12: all that it exports, used. Compiled with both. */
import {
  actionGeneric,
  internalMutationGeneric,
  makeFunctionReference,
  mutationGeneric,
  queryGeneric,
} from "convex/server";
import { v } from "convex/values";
import {
  DEFAULT_RETRY_BEHAVIOR,
  NonRetryableError,
  Workpool,
  enqueue,
  enqueueBatch,
  isNonRetryableError,
  resultValidator,
  vLogLevel,
  vOnComplete,
  vOnCompleteArgs,
  vOnCompleteValidator,
  vResult,
  vResultValidator,
  vRetryBehavior,
  vRunResult,
  vWorkId,
  vWorkIdValidator,
  workIdValidator,
  type EnqueueOptions,
  type LogLevel,
  type OnCompleteArgs,
  type RetryBehavior,
  type RetryOption,
  type RunResult,
  type WorkId,
  type WorkpoolComponent,
  type WorkpoolOptions,
  type WorkpoolRetryOptions,
} from "@convex-dev/workpool";
import type { ComponentApi } from "@convex-dev/workpool/_generated/component.js";

declare const components: { emails: ComponentApi<"emails"> };

const retries: WorkpoolRetryOptions = {
  defaultRetryBehavior: { ...DEFAULT_RETRY_BEHAVIOR, maxAttempts: 3 },
  retryActionsByDefault: true,
};

const options: WorkpoolOptions = { maxParallelism: 5, logLevel: "INFO", ...retries };

const component: WorkpoolComponent = components.emails;

const pool = new Workpool(component, options);

const send = makeFunctionReference<"action", { to: string }, number>("mail:send");
const note = makeFunctionReference<"mutation", { to: string }, null>("mail:note");
const read = makeFunctionReference<"query", { to: string }, string[]>("mail:read");
const ended = makeFunctionReference<"mutation", OnCompleteArgs<string, number>, null>("mail:ended");

export const sent = pool.defineOnComplete({
  context: v.object({ user: v.string() }),
  returnValue: v.number(),
  handler: async (ctx, { workId, context, result }) => {
    const id: WorkId = workId;
    const user: string = context.user;
    if (result.kind === "success") console.log(id, user, result.returnValue.toFixed());
    else if (result.kind === "failed") console.log(result.error.length);
    else console.log(result.kind === "canceled");
  },
});

export const untyped = pool.defineOnComplete({
  handler: async (_, { result }) => console.log(result.kind),
});

export const manual = internalMutationGeneric({
  args: vOnCompleteArgs(v.string(), v.number()),
  handler: async (_, { context, result }) => {
    const text: string = context;
    if (result.kind === "success") console.log(text, result.returnValue.toFixed());
  },
});

export const loose = internalMutationGeneric({
  args: vOnComplete,
  handler: async (_, { workId, result }) => console.log(workId, result.kind),
});

export const old = internalMutationGeneric({
  args: vOnCompleteValidator(v.string()),
  handler: async (_, { context }) => console.log(context.length),
});

const validators = {
  workIdValidator,
  vWorkIdValidator,
  resultValidator,
  vResultValidator,
  vResult,
};

export const stored = mutationGeneric({
  args: { level: vLogLevel, retry: vRetryBehavior, result: vRunResult(v.number()) },
  returns: v.array(v.string()),
  handler: async (_, { level, retry, result }) => {
    const known: LogLevel = level;
    const behavior: RetryBehavior = retry;
    const end: RunResult<number> = result;
    return [known, String(behavior.base), end.kind, ...Object.keys(validators)];
  },
});

export const start = mutationGeneric({
  args: { to: v.string() },
  returns: v.array(vWorkId),
  handler: async (ctx, { to }): Promise<WorkId[]> => {
    const retry: RetryOption = { retry: { maxAttempts: 2, initialBackoffMs: 100, base: 2 } };
    const later: EnqueueOptions<string, number> = { runAfter: 1000, context: "later" };
    const ids = [
      await pool.enqueueAction(ctx, send, { to }),
      await pool.enqueueAction(ctx, send, { to }, { ...retry, onComplete: ended, context: "a" }),
      await pool.enqueueAction(ctx, send, { to }, later),
      await pool.enqueueMutation(ctx, note, { to }, { runAt: Date.now() + 1000, name: "note" }),
      await pool.enqueueQuery(ctx, read, { to }, { onComplete: null }),
      await enqueue(components.emails, ctx, "action", send, { to }, { maxParallelism: 3 }),
    ];
    const many = [{ to }, { to }];
    ids.push(
      ...(await pool.enqueueActionBatch(ctx, send, many, {
        onComplete: ended,
        onCompleteExcludeKinds: ["success", "canceled"],
        context: "b",
      })),
      ...(await pool.enqueueMutationBatch(ctx, note, many)),
      ...(await pool.enqueueQueryBatch(ctx, read, many)),
      ...(await enqueueBatch(components.emails, ctx, "mutation", note, many, {})),
    );
    return ids;
  },
});

export const stop = mutationGeneric({
  args: { id: vWorkId },
  handler: async (ctx, { id }) => {
    await pool.cancel(ctx, id);
    await pool.cancelAll(ctx);
    await pool.cancelAll(ctx, { limit: 10 });
    await ctx.runMutation(components.emails.config.update, { maxParallelism: 0 });
  },
});

export const look = queryGeneric({
  args: { id: vWorkId },
  handler: async (ctx, { id }) => {
    const status = await pool.status(ctx, id);
    if (status.state === "finished") return -1;
    const all = await pool.statusBatch(ctx, [id, id]);
    return status.previousAttempts + all.length;
  },
});

export const act = actionGeneric({
  args: { to: v.string() },
  handler: async (ctx, { to }) => {
    try {
      await pool.enqueueAction(ctx, send, { to });
    } catch (error) {
      if (isNonRetryableError(error)) throw error;
      throw new NonRetryableError("never again");
    }
  },
});
