/* eslint-disable */
/**
 * Generated `api` utility.
 *
 * THIS CODE IS AUTOMATICALLY GENERATED.
 *
 * To regenerate, run `npx convex dev`.
 * @module
 */

import type * as answer from "../answer.js";
import type * as check from "../check.js";
import type * as config from "../config.js";
import type * as dead from "../dead.js";
import type * as lib from "../lib.js";
import type * as limits from "../limits.js";
import type * as loop from "../loop.js";
import type * as monitor from "../monitor.js";
import type * as validators from "../validators.js";
import type * as wake from "../wake.js";

import type {
  ApiFromModules,
  FilterApi,
  FunctionReference,
} from "convex/server";
import { anyApi, componentsGeneric } from "convex/server";

const fullApi: ApiFromModules<{
  answer: typeof answer;
  check: typeof check;
  config: typeof config;
  dead: typeof dead;
  lib: typeof lib;
  limits: typeof limits;
  loop: typeof loop;
  monitor: typeof monitor;
  validators: typeof validators;
  wake: typeof wake;
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
