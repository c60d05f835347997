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
import type * as budget from "../budget.js";
import type * as bury from "../bury.js";
import type * as callbacks from "../callbacks.js";
import type * as cancel from "../cancel.js";
import type * as check from "../check.js";
import type * as config from "../config.js";
import type * as cut from "../cut.js";
import type * as dead from "../dead.js";
import type * as errors from "../errors.js";
import type * as execute from "../execute.js";
import type * as find from "../find.js";
import type * as gate from "../gate.js";
import type * as inspect from "../inspect.js";
import type * as keys from "../keys.js";
import type * as lib from "../lib.js";
import type * as limits from "../limits.js";
import type * as loop from "../loop.js";
import type * as mutations from "../mutations.js";
import type * as notify from "../notify.js";
import type * as outcome from "../outcome.js";
import type * as places from "../places.js";
import type * as plan from "../plan.js";
import type * as port from "../port.js";
import type * as queues from "../queues.js";
import type * as rest from "../rest.js";
import type * as runs from "../runs.js";
import type * as settlement from "../settlement.js";
import type * as shares from "../shares.js";
import type * as stock from "../stock.js";
import type * as store from "../store.js";
import type * as sweep from "../sweep.js";
import type * as throttle from "../throttle.js";
import type * as timeout from "../timeout.js";
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
  budget: typeof budget;
  bury: typeof bury;
  callbacks: typeof callbacks;
  cancel: typeof cancel;
  check: typeof check;
  config: typeof config;
  cut: typeof cut;
  dead: typeof dead;
  errors: typeof errors;
  execute: typeof execute;
  find: typeof find;
  gate: typeof gate;
  inspect: typeof inspect;
  keys: typeof keys;
  lib: typeof lib;
  limits: typeof limits;
  loop: typeof loop;
  mutations: typeof mutations;
  notify: typeof notify;
  outcome: typeof outcome;
  places: typeof places;
  plan: typeof plan;
  port: typeof port;
  queues: typeof queues;
  rest: typeof rest;
  runs: typeof runs;
  settlement: typeof settlement;
  shares: typeof shares;
  stock: typeof stock;
  store: typeof store;
  sweep: typeof sweep;
  throttle: typeof throttle;
  timeout: typeof timeout;
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
