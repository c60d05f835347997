/* eslint-disable */
/**
 * Generated `api` utility.
 *
 * THIS CODE IS AUTOMATICALLY GENERATED.
 *
 * To regenerate, run `npx convex dev`.
 * @module
 */

import type * as orders from "../orders.js";
import type * as reminders from "../reminders.js";
import type * as renewals from "../renewals.js";
import type * as users from "../users.js";
import type * as visits from "../visits.js";

import type {
  ApiFromModules,
  FilterApi,
  FunctionReference,
} from "convex/server";

declare const fullApi: ApiFromModules<{
  orders: typeof orders;
  reminders: typeof reminders;
  renewals: typeof renewals;
  users: typeof users;
  visits: typeof visits;
}>;

/**
 * A utility for referencing Convex functions in your app's public API.
 *
 * Usage:
 * ```js
 * const myFunctionReference = api.myModule.myFunction;
 * ```
 */
export declare const api: FilterApi<
  typeof fullApi,
  FunctionReference<any, "public">
>;

/**
 * A utility for referencing Convex functions in your app's internal API.
 *
 * Usage:
 * ```js
 * const myFunctionReference = internal.myModule.myFunction;
 * ```
 */
export declare const internal: FilterApi<
  typeof fullApi,
  FunctionReference<any, "internal">
>;

export declare const components: {
  batch: import("../../../src/batch/_generated/component.js").ComponentApi<"batch">;
  pool: import("../../../src/pool/_generated/component.js").ComponentApi<"pool">;
  serialPool: import("../../../src/pool/_generated/component.js").ComponentApi<"serialPool">;
  reminderPool: import("../../../src/pool/_generated/component.js").ComponentApi<"reminderPool">;
  worker: import("../../../src/worker/_generated/component.js").ComponentApi<"worker">;
};
