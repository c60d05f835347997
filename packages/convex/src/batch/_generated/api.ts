/* eslint-disable */
/**
 * Generated `api` utility.
 *
 * THIS CODE IS AUTOMATICALLY GENERATED.
 *
 * To regenerate, run `npx convex dev`.
 * @module
 */

import type * as adaptive from "../adaptive.js";
import type * as add from "../add.js";
import type * as check from "../check.js";
import type * as config from "../config.js";
import type * as dead from "../dead.js";
import type * as flush from "../flush.js";
import type * as groups from "../groups.js";
import type * as history from "../history.js";
import type * as iterator from "../iterator.js";
import type * as jobs from "../jobs.js";
import type * as keys from "../keys.js";
import type * as lib from "../lib.js";
import type * as limits from "../limits.js";
import type * as outcome from "../outcome.js";
import type * as pages from "../pages.js";
import type * as runner from "../runner.js";
import type * as settings from "../settings.js";
import type * as sweep from "../sweep.js";
import type * as throttle from "../throttle.js";
import type * as validators from "../validators.js";
import type * as verdicts from "../verdicts.js";
import type * as view from "../view.js";
import type * as watch from "../watch.js";

import type {
  ApiFromModules,
  FilterApi,
  FunctionReference,
} from "convex/server";
import { anyApi, componentsGeneric } from "convex/server";

const fullApi: ApiFromModules<{
  adaptive: typeof adaptive;
  add: typeof add;
  check: typeof check;
  config: typeof config;
  dead: typeof dead;
  flush: typeof flush;
  groups: typeof groups;
  history: typeof history;
  iterator: typeof iterator;
  jobs: typeof jobs;
  keys: typeof keys;
  lib: typeof lib;
  limits: typeof limits;
  outcome: typeof outcome;
  pages: typeof pages;
  runner: typeof runner;
  settings: typeof settings;
  sweep: typeof sweep;
  throttle: typeof throttle;
  validators: typeof validators;
  verdicts: typeof verdicts;
  view: typeof view;
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
