/* eslint-disable */
/**
 * Generated `api` utility.
 *
 * THIS CODE IS AUTOMATICALLY GENERATED.
 *
 * To regenerate, run `npx convex dev`.
 * @module
 */

import type * as add from "../add.js";
import type * as dead from "../dead.js";
import type * as flush from "../flush.js";
import type * as groups from "../groups.js";
import type * as iterator from "../iterator.js";
import type * as jobs from "../jobs.js";
import type * as lib from "../lib.js";
import type * as limits from "../limits.js";
import type * as pages from "../pages.js";
import type * as runner from "../runner.js";
import type * as validators from "../validators.js";
import type * as watch from "../watch.js";

import type {
  ApiFromModules,
  FilterApi,
  FunctionReference,
} from "convex/server";
import { anyApi, componentsGeneric } from "convex/server";

const fullApi: ApiFromModules<{
  add: typeof add;
  dead: typeof dead;
  flush: typeof flush;
  groups: typeof groups;
  iterator: typeof iterator;
  jobs: typeof jobs;
  lib: typeof lib;
  limits: typeof limits;
  pages: typeof pages;
  runner: typeof runner;
  validators: typeof validators;
  watch: typeof watch;
}> = anyApi as any;

/**
 * A utility for referencing Convex functions in your app's public API.
 *
 * Usage:
 * ```js
 * const myFunctionReference = api.myModule.myFunction;
 * ```
 */
export const api: FilterApi<
  typeof fullApi,
  FunctionReference<any, "public">
> = anyApi as any;

/**
 * A utility for referencing Convex functions in your app's internal API.
 *
 * Usage:
 * ```js
 * const myFunctionReference = internal.myModule.myFunction;
 * ```
 */
export const internal: FilterApi<
  typeof fullApi,
  FunctionReference<any, "internal">
> = anyApi as any;

export const components = componentsGeneric() as unknown as {};
