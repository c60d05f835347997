import {
  anyApi,
  componentsGeneric,
  type ApiFromModules,
  type FilterApi,
  type FunctionReference,
} from "convex/server";
import type { ComponentApi } from "../../../../src/worker/_generated/component.js";
import type * as events from "../events.js";

type Api = ApiFromModules<{ events: typeof events }>;

export const internal = anyApi as unknown as FilterApi<
  Api,
  FunctionReference<"query" | "mutation" | "action", "internal">
>;

export const components = componentsGeneric() as unknown as { worker: ComponentApi };
