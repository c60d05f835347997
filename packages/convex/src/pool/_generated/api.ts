/* eslint-disable */
/**
 * Generated `api` utility.
 *
 * THIS CODE IS AUTOMATICALLY GENERATED.
 *
 * To regenerate, run `npx convex dev`.
 * @module
 */

import type * as actions from "../actions.js";
import type * as assign from "../assign.js";
import type * as callbacks from "../callbacks.js";
import type * as cancel from "../cancel.js";
import type * as check from "../check.js";
import type * as config from "../config.js";
import type * as errors from "../errors.js";
import type * as execute from "../execute.js";
import type * as gate from "../gate.js";
import type * as lib from "../lib.js";
import type * as limits from "../limits.js";
import type * as loop from "../loop.js";
import type * as mutations from "../mutations.js";
import type * as outcome from "../outcome.js";
import type * as plan from "../plan.js";
import type * as runs from "../runs.js";
import type * as settlement from "../settlement.js";
import type * as sweep from "../sweep.js";
import type * as validators from "../validators.js";
import type * as view from "../view.js";
import type * as watch from "../watch.js";

import type {
  ApiFromModules,
  FilterApi,
  FunctionReference,
} from "convex/server";
import { anyApi, componentsGeneric } from "convex/server";

const fullApi: ApiFromModules<{
  actions: typeof actions;
  assign: typeof assign;
  callbacks: typeof callbacks;
  cancel: typeof cancel;
  check: typeof check;
  config: typeof config;
  errors: typeof errors;
  execute: typeof execute;
  gate: typeof gate;
  lib: typeof lib;
  limits: typeof limits;
  loop: typeof loop;
  mutations: typeof mutations;
  outcome: typeof outcome;
  plan: typeof plan;
  runs: typeof runs;
  settlement: typeof settlement;
  sweep: typeof sweep;
  validators: typeof validators;
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
