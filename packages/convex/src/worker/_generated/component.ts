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
          name: string;
          debounceMs?: number | null;
          monitorLagMs?: number | null;
          maxAttempts?: number | null;
          isolate?: boolean | null;
          backoff?: { baseDelay: number; maxDelay: number } | null;
        },
        null,
        Name
      >;
    };
    dead: {
      discard: FunctionReference<
        "mutation",
        "internal",
        { ids: Array<string> },
        number,
        Name
      >;
      list: FunctionReference<
        "query",
        "internal",
        { name: string; limit?: number },
        Array<{
          id: string;
          batch?: any;
          error: string;
          attempts: number;
          at: number;
        }>,
        Name
      >;
      redrive: FunctionReference<
        "mutation",
        "internal",
        { ids: Array<string> },
        number,
        Name
      >;
    };
    lib: {
      explain: FunctionReference<
        "query",
        "internal",
        { name: string },
        null | {
          name: string;
          state: "idle" | "running" | "stopped";
          config: {
            debounceMs?: number;
            monitorLagMs?: number;
            backoff?: { baseDelay: number; maxDelay: number };
            maxAttempts?: number;
            isolate?: boolean;
          };
          failures: number;
          lastError?: { message: string; at: number };
          nextTurnAt?: number;
          workedAt: number;
          limit?: number;
          dead: number;
        },
        Name
      >;
      getCursor: FunctionReference<
        "query",
        "internal",
        { name: string },
        any,
        Name
      >;
      kick: FunctionReference<
        "mutation",
        "internal",
        { name: string },
        null,
        Name
      >;
      list: FunctionReference<
        "query",
        "internal",
        { after?: string; limit?: number },
        Array<{
          name: string;
          state: "idle" | "running" | "stopped";
          failing: boolean;
        }>,
        Name
      >;
      ping: FunctionReference<
        "mutation",
        "internal",
        {
          name: string;
          workQuery: string;
          workerMutation: string;
          onDead?: string;
          config?: {
            debounceMs?: number;
            monitorLagMs?: number;
            backoff?: { baseDelay: number; maxDelay: number };
            maxAttempts?: number;
            isolate?: boolean;
          };
        },
        null,
        Name
      >;
      remove: FunctionReference<
        "mutation",
        "internal",
        { name: string },
        boolean,
        Name
      >;
      setCursor: FunctionReference<
        "mutation",
        "internal",
        { name: string; cursor?: any },
        null,
        Name
      >;
      start: FunctionReference<
        "mutation",
        "internal",
        { name: string },
        null,
        Name
      >;
      status: FunctionReference<
        "query",
        "internal",
        { name: string },
        null | { kind: "idle" } | { kind: "running" } | { kind: "stopped" },
        Name
      >;
      stop: FunctionReference<
        "mutation",
        "internal",
        { name: string },
        null,
        Name
      >;
    };
  };
