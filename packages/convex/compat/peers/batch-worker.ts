/** An app of `@convex-dev/batch-worker` 0.3.4: all that it exports, used. Compiled with both. */
import {
  actionGeneric,
  internalMutationGeneric,
  internalQueryGeneric,
  makeFunctionReference,
  mutationGeneric,
} from "convex/server";
import { v } from "convex/values";
import {
  defineBatchWorkerValidators,
  ping,
  vBatchQueryArgs,
  vBatchResult,
  vDefaultCursor,
  vWorkerResult,
  type BatchQueryArgs,
  type BatchResult,
  type DefaultCursor,
  type WorkerConfig,
  type WorkerResult,
  type WorkerStatus,
} from "@convex-dev/batch-worker";
import type { ComponentApi } from "@convex-dev/batch-worker/_generated/component.js";

declare const components: { batchWorker: ComponentApi<"batchWorker"> };

const { vQueryArgs, vQueryReturns, vMutationArgs, vMutationReturns } = defineBatchWorkerValidators({
  batch: { ids: v.array(v.string()) },
  cursor: v.number(),
});

export const getBatch = internalQueryGeneric({
  args: vQueryArgs,
  returns: vQueryReturns,
  handler: async (_, { name, cursor }) => {
    const from: number = cursor ?? 0;
    if (name === "" || from > 10) return { kind: "idle" as const, timeoutMs: 1000 };
    return { kind: "work" as const, batch: { ids: ["a"] }, cursor: from + 1 };
  },
});

export const processBatch = internalMutationGeneric({
  args: vMutationArgs,
  returns: vMutationReturns,
  handler: async (_, { ids }) => {
    console.log(ids.length);
    return { debounceMs: 10, cursor: 3 };
  },
});

export const oldQuery = internalQueryGeneric({
  args: vBatchQueryArgs,
  returns: vBatchResult(v.object({ ids: v.array(v.string()) })),
  handler: async (_, { name }) =>
    name === "" ? { kind: "idle" as const } : { kind: "work" as const, batch: { ids: ["a"] } },
});

export const oldMutation = internalMutationGeneric({
  args: { ids: v.array(v.string()), cursor: v.optional(vDefaultCursor) },
  returns: vWorkerResult,
  handler: async () => null,
});

type Batch = { ids: string[] };

const workQuery = makeFunctionReference<
  "query",
  BatchQueryArgs<number>,
  BatchResult<Batch, number>
>("events:getBatch") as never as import("convex/server").FunctionReference<
  "query",
  "internal",
  BatchQueryArgs<number>,
  BatchResult<Batch, number>
>;

const workerMutation = makeFunctionReference<"mutation", Batch, WorkerResult<number>>(
  "events:processBatch",
) as never as import("convex/server").FunctionReference<
  "mutation",
  "internal",
  Batch,
  WorkerResult<number>
>;

const config: Partial<WorkerConfig> = { debounceMs: 100, monitorLagMs: 15_000 };

export const add = mutationGeneric({
  args: {},
  handler: async (ctx) => {
    await ping(ctx, components.batchWorker, { name: "events", workQuery, workerMutation });
    await ping(ctx, components.batchWorker, { name: "events", workQuery, workerMutation, config });
  },
});

export const control = actionGeneric({
  args: {},
  handler: async (ctx) => {
    const { lib } = components.batchWorker;
    const name = "events";
    await ping(ctx, components.batchWorker, { name, workQuery, workerMutation });
    await ctx.runMutation(lib.stop, { name });
    await ctx.runMutation(lib.start, { name });
    await ctx.runMutation(lib.kick, { name });
    await ctx.runMutation(lib.setCursor, { name, cursor: 3 });
    const cursor: DefaultCursor | null = await ctx.runQuery(lib.getCursor, { name });
    const status: WorkerStatus | null = await ctx.runQuery(lib.status, { name });
    return `${String(cursor)} ${status?.kind ?? "none"}`;
  },
});
