import {
  anyApi,
  componentsGeneric,
  type ApiFromModules,
  type FilterApi,
  type FunctionReference,
} from "convex/server";
import type { ComponentApi } from "../../../../src/batch/_generated/component.js";
import type * as analytics from "../analytics.js";
import type * as migrations from "../migrations.js";

type Api = ApiFromModules<{ analytics: typeof analytics; migrations: typeof migrations }>;

export const internal = anyApi as unknown as FilterApi<
  Api,
  FunctionReference<"query" | "mutation" | "action", "internal">
>;

export const components = componentsGeneric() as unknown as { batch: ComponentApi };
