/* eslint-disable */
/**
 * Generated `ComponentApi` utility.
 *
 * THIS CODE IS AUTOMATICALLY GENERATED.
 *
 * To regenerate, run `npx convex dev`.
 * @module
 */

import type { FunctionReference } from "convex/server";

/**
 * A utility for referencing a Convex component's exposed API.
 *
 * Useful when expecting a parameter like `components.myComponent`.
 * Usage:
 * ```ts
 * async function myFunction(ctx: QueryCtx, component: ComponentApi) {
 *   return ctx.runQuery(component.someFile.someQuery, { ...args });
 * }
 * ```
 */
export type ComponentApi<Name extends string | undefined = string | undefined> =
  {
    dead: {
      list: FunctionReference<
        "query",
        "internal",
        { batchId: string; limit?: number },
        Array<{ id: string; item: any; error: string; at: number }>,
        Name
      >;
      redrive: FunctionReference<
        "mutation",
        "internal",
        { batchId: string; limit?: number },
        number,
        Name
      >;
    };
    iterator: {
      cancel: FunctionReference<
        "mutation",
        "internal",
        { jobId: string },
        {
          jobId: string;
          status: "pending" | "running" | "paused" | "completed" | "failed";
          reason?: string;
        },
        Name
      >;
      list: FunctionReference<
        "query",
        "internal",
        {
          status?: "pending" | "running" | "paused" | "completed" | "failed";
          limit?: number;
        },
        Array<{
          jobId: string;
          status: "pending" | "running" | "paused" | "completed" | "failed";
          cancelled?: boolean;
          processedCount: number;
          createdAt: number;
          lastRunAt?: number;
          errorMessage?: string;
        }>,
        Name
      >;
      pause: FunctionReference<
        "mutation",
        "internal",
        { jobId: string },
        {
          jobId: string;
          status: "pending" | "running" | "paused" | "completed" | "failed";
          reason?: string;
        },
        Name
      >;
      remove: FunctionReference<
        "mutation",
        "internal",
        { jobId: string },
        { deleted: boolean; reason?: string },
        Name
      >;
      resume: FunctionReference<
        "mutation",
        "internal",
        { jobId: string },
        {
          jobId: string;
          status: "pending" | "running" | "paused" | "completed" | "failed";
          reason?: string;
        },
        Name
      >;
      start: FunctionReference<
        "mutation",
        "internal",
        {
          jobId: string;
          config: {
            batchSize: number;
            delayBetweenBatchesMs: number;
            getNextBatch: string;
            processBatch: string;
            onComplete?: string;
            maxRetries: number;
          };
        },
        {
          jobId: string;
          status: "pending" | "running" | "paused" | "completed" | "failed";
          reason?: string;
        },
        Name
      >;
      status: FunctionReference<
        "query",
        "internal",
        { jobId: string },
        null | {
          jobId: string;
          status: "pending" | "running" | "paused" | "completed" | "failed";
          cancelled?: boolean;
          processedCount: number;
          createdAt: number;
          lastRunAt?: number;
          errorMessage?: string;
          cursor?: string;
          retryCount: number;
          config: { batchSize: number; delayBetweenBatchesMs: number };
        },
        Name
      >;
    };
    lib: {
      addItems: FunctionReference<
        "mutation",
        "internal",
        {
          batchId: string;
          items: Array<any>;
          config: {
            processBatch: string;
            flushIntervalMs: number;
            threshold?: number;
            maxBatchSize?: number;
            maxAttempts?: number;
          };
        },
        null,
        Name
      >;
      deleteBatch: FunctionReference<
        "mutation",
        "internal",
        { batchId: string },
        { deleted: boolean; reason?: string },
        Name
      >;
      flush: FunctionReference<
        "mutation",
        "internal",
        { batchId: string },
        { itemCount: number; isFlushing: boolean },
        Name
      >;
      getBatchStatus: FunctionReference<
        "query",
        "internal",
        { batchId: string },
        null | {
          batches: Array<{
            status: "accumulating" | "flushing";
            itemCount: number;
            createdAt: number;
            lastUpdatedAt: number;
          }>;
          config: {
            processBatch: string;
            flushIntervalMs: number;
            threshold?: number;
            maxBatchSize?: number;
            maxAttempts?: number;
          };
        },
        Name
      >;
      getFlushHistory: FunctionReference<
        "query",
        "internal",
        { batchId: string; limit?: number },
        Array<{
          batchId: string;
          itemCount: number;
          flushedAt: number;
          durationMs: number;
          success: boolean;
          errorMessage?: string;
        }>,
        Name
      >;
    };
  };
