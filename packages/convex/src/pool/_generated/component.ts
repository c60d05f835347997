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
      get: FunctionReference<
        "query",
        "internal",
        {},
        {
          maxParallelism: number;
          paused: boolean;
          pools: Array<{
            pool: string;
            paused: boolean;
            throttle?: { max: number; duration: number };
          }>;
        },
        Name
      >;
      pause: FunctionReference<
        "mutation",
        "internal",
        { pool?: string },
        null,
        Name
      >;
      reset: FunctionReference<"mutation", "internal", {}, null, Name>;
      resume: FunctionReference<
        "mutation",
        "internal",
        { pool?: string },
        null,
        Name
      >;
      update: FunctionReference<
        "mutation",
        "internal",
        {
          maxParallelism?: number | null;
          logLevel?:
            "TRACE" | "DEBUG" | "INFO" | "REPORT" | "WARN" | "ERROR" | null;
          pool?: string;
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
        { ids?: Array<string>; limit?: number },
        number,
        Name
      >;
      list: FunctionReference<
        "query",
        "internal",
        { after?: number; limit?: number },
        Array<{
          id: string;
          name: string;
          args: any;
          error: string;
          attempts: number;
          pool: string;
          at: number;
          expiresAt: number;
        }>,
        Name
      >;
      listCallbacks: FunctionReference<
        "query",
        "internal",
        { limit?: number },
        Array<{
          id: string;
          workId: string;
          context?: any;
          result:
            | { kind: "success"; returnValue: any }
            | { kind: "failed"; error: string }
            | { kind: "canceled" };
          error: string;
          attempts: number;
          expiresAt: number;
        }>,
        Name
      >;
      redrive: FunctionReference<
        "mutation",
        "internal",
        { ids?: Array<string>; limit?: number },
        number,
        Name
      >;
    };
    inspect: {
      explain: FunctionReference<
        "query",
        "internal",
        { id: string },
        {
          state:
            "waiting" | "delayed" | "held" | "running" | "finished" | "dead";
          reason: string;
          attempts: number;
          dueAt?: number;
          error?: string;
        },
        Name
      >;
      list: FunctionReference<
        "query",
        "internal",
        {
          state?: "waiting" | "delayed" | "held" | "running";
          pool?: string;
          cursor?: number;
          limit?: number;
        },
        {
          items: Array<{
            id: string;
            state: "waiting" | "delayed" | "held" | "running";
            pool: string;
            priority: number;
            attempts: number;
            name: string;
            dueAt?: number;
            serialKey?: string;
            error?: string;
          }>;
          cursor: number | null;
        },
        Name
      >;
      summary: FunctionReference<
        "query",
        "internal",
        {},
        {
          state: "idle" | "running" | "full" | "paused";
          waiting: number;
          delayed: number;
          held: number;
          running: number;
          dead: number;
          deadCallbacks: number;
          maxParallelism: number;
          more: boolean;
        },
        Name
      >;
    };
    lib: {
      cancel: FunctionReference<
        "mutation",
        "internal",
        { id: string },
        null,
        Name
      >;
      cancelAll: FunctionReference<
        "mutation",
        "internal",
        { limit?: number; before?: number },
        null,
        Name
      >;
      enqueue: FunctionReference<
        "mutation",
        "internal",
        {
          declared: {
            maxParallelism?: number;
            logLevel?: "TRACE" | "DEBUG" | "INFO" | "REPORT" | "WARN" | "ERROR";
          };
          pools?: Array<{
            pool: string;
            declared: { throttle?: { max: number; duration: number } };
          }>;
          tasks: Array<{
            fn: {
              type: "action" | "mutation" | "query" | "either" | "inline";
              handle: string;
              name: string;
              timeoutMs?: number;
            };
            items: Array<any>;
            contexts?: Array<any>;
            onComplete?: {
              handle: string;
              exclude?: Array<"success" | "failed" | "canceled">;
              array?: boolean;
            };
            retry?: {
              maxAttempts: number;
              initialBackoffMs: number;
              base: number;
            };
            keepMs?: number;
            isolate?: boolean;
            once?: boolean;
            runAt?: number;
            pool?: string;
            key?: string;
            deadMs?: number;
            priority?: number;
          }>;
          executor?: { handle: string; slots: number };
        },
        Array<string>,
        Name
      >;
      result: FunctionReference<
        "query",
        "internal",
        { id: string },
        | null
        | { kind: "success"; returnValue: any }
        | { kind: "failed"; error: string }
        | { kind: "canceled" },
        Name
      >;
      status: FunctionReference<
        "query",
        "internal",
        { id: string },
        | { state: "pending"; previousAttempts: number }
        | { state: "running"; previousAttempts: number }
        | { state: "finished" },
        Name
      >;
      statusBatch: FunctionReference<
        "query",
        "internal",
        { ids: Array<string> },
        Array<
          | { state: "pending"; previousAttempts: number }
          | { state: "running"; previousAttempts: number }
          | { state: "finished" }
        >,
        Name
      >;
    };
    runs: {
      settle: FunctionReference<
        "mutation",
        "internal",
        {
          token: string;
          outcomes: Array<{
            work: string;
            place: number;
            result:
              | { kind: "success"; returnValue: any }
              | { kind: "failed"; error: string }
              | { kind: "canceled" };
            retryAt?: number;
            callback?: {
              handle: string;
              context?: any;
              isolate?: boolean;
              array?: boolean;
            };
            keepMs?: number;
            deadMs?: number;
          }>;
          settled: number;
          weight?: number;
          back?: Array<string>;
          low: boolean;
          slots?: number;
          end: boolean;
        },
        null | {
          dealt: number;
          ended: boolean;
          upTo?: number;
          parked: boolean;
          keep?: number;
        },
        Name
      >;
      take: FunctionReference<
        "mutation",
        "internal",
        { token: string; upTo: number; room?: number },
        null | {
          rows: Array<{
            work: string;
            chunk: string;
            fn: {
              type: "action" | "mutation" | "query" | "either" | "inline";
              handle: string;
              name: string;
              timeoutMs?: number;
            };
            attempts: number;
            bytes: number;
            items: Array<{
              place: number;
              args: any;
              context?: any;
              canceled?: boolean;
            }>;
            onComplete?: {
              handle: string;
              exclude?: Array<"success" | "failed" | "canceled">;
              array?: boolean;
            };
            retry?: {
              maxAttempts: number;
              initialBackoffMs: number;
              base: number;
            };
            keepMs?: number;
            deadMs?: number;
            isolate?: boolean;
            serial?: boolean;
          }>;
          taken: number;
          slots: number;
          parked: boolean;
        },
        Name
      >;
      waiting: FunctionReference<
        "query",
        "internal",
        { token: string },
        null | { upTo: number; parked: boolean; keep?: number },
        Name
      >;
    };
  };
