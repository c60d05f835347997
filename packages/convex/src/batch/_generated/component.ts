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
    config: {
      pause: FunctionReference<
        "mutation",
        "internal",
        { batchId: string },
        null,
        Name
      >;
      resume: FunctionReference<
        "mutation",
        "internal",
        { batchId: string },
        null,
        Name
      >;
      update: FunctionReference<
        "mutation",
        "internal",
        {
          batchId: string;
          flushIntervalMs?: number | null;
          maxBatchSize?: number | null;
          immediateFlushThreshold?: number | null;
          maxAttempts?: number | null;
          backoff?: { baseDelay: number; maxDelay: number } | null;
          throttle?: { max: number; duration: number } | null;
        },
        null,
        Name
      >;
    };
    dead: {
      discard: FunctionReference<
        "mutation",
        "internal",
        { batchId: string; ids?: Array<string>; limit?: number },
        number,
        Name
      >;
      list: FunctionReference<
        "query",
        "internal",
        { batchId: string; ids?: Array<string>; limit?: number },
        Array<{
          id: string;
          item: any;
          error: string;
          at: number;
          groupKey?: string;
        }>,
        Name
      >;
      redrive: FunctionReference<
        "mutation",
        "internal",
        { batchId: string; ids?: Array<string>; limit?: number },
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
            maxBatchSize?: number;
            ttl?: number;
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
          pageAt?: number;
          config: { batchSize: number; delayBetweenBatchesMs: number };
        },
        Name
      >;
      update: FunctionReference<
        "mutation",
        "internal",
        {
          jobId: string;
          batchSize?: number;
          delayBetweenBatchesMs?: number;
          maxRetries?: number;
          maxBatchSize?: number;
        },
        null,
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
            flushIntervalMs: number;
            threshold?: number;
            maxBatchSize?: number;
            maxAttempts?: number;
            backoff?: { baseDelay: number; maxDelay: number };
            throttle?: { max: number; duration: number };
            processBatch: string;
            deduplicateFor?: number;
            historyTtl?: number;
            deadLetterTtl?: number;
          };
          groupKeys?: Array<string>;
          keys?: Array<string | null>;
        },
        number,
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
        { batchId: string; groupKey?: string },
        { itemCount: number; isFlushing: boolean },
        Name
      >;
      getBatchStatus: FunctionReference<
        "query",
        "internal",
        { batchId: string },
        null | {
          batches: Array<{
            groupKey?: string;
            status: "accumulating" | "flushing";
            itemCount: number;
            createdAt: number;
            lastUpdatedAt: number;
          }>;
          config: {
            flushIntervalMs: number;
            threshold?: number;
            maxBatchSize?: number;
            maxAttempts?: number;
            backoff?: { baseDelay: number; maxDelay: number };
            throttle?: { max: number; duration: number };
            processBatch: string;
            deduplicateFor?: number;
            historyTtl?: number;
            deadLetterTtl?: number;
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
          groupKey?: string;
          itemCount: number;
          flushedAt: number;
          durationMs: number;
          success: boolean;
          errorMessage?: string;
        }>,
        Name
      >;
    };
    view: {
      explain: FunctionReference<
        "query",
        "internal",
        { batchId: string; groupKey?: string },
        {
          waiting: number;
          waitsFor:
            | "nothing"
            | "size or time"
            | "size or flush"
            | "paused"
            | "backoff"
            | "throttle"
            | "its handler"
            | "next look";
          nextFlushAt: number | null;
          attempts: number;
          text: string;
        },
        Name
      >;
      list: FunctionReference<
        "query",
        "internal",
        { batchId?: string; limit?: number },
        Array<{
          batchId: string;
          groupKey?: string;
          state: "idle" | "awake" | "paused";
        }>,
        Name
      >;
      settings: FunctionReference<
        "query",
        "internal",
        { batchId: string },
        { paused: boolean; override: any },
        Name
      >;
    };
  };
