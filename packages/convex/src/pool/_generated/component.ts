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
      update: FunctionReference<
        "mutation",
        "internal",
        {
          maxParallelism?: number;
          logLevel?: "TRACE" | "DEBUG" | "INFO" | "REPORT" | "WARN" | "ERROR";
        },
        null,
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
          tasks: Array<{
            fn: {
              type: "action" | "mutation" | "query" | "either" | "inline";
              handle: string;
              name: string;
            };
            items: Array<any>;
            contexts?: Array<any>;
            onComplete?: {
              handle: string;
              exclude?: Array<"success" | "failed" | "canceled">;
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
            callback?: { handle: string; context?: any; isolate?: boolean };
            keepMs?: number;
          }>;
          settled: number;
          low: boolean;
          slots?: number;
          end: boolean;
        },
        null | {
          dealt: number;
          ended: boolean;
          upTo?: number;
          parked: boolean;
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
            };
            retry?: {
              maxAttempts: number;
              initialBackoffMs: number;
              base: number;
            };
            keepMs?: number;
            isolate?: boolean;
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
        null | { upTo: number; parked: boolean },
        Name
      >;
    };
  };
