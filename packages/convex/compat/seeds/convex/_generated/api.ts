import {
  anyApi,
  componentsGeneric,
  type ApiFromModules,
  type FilterApi,
  type FunctionReference,
} from "convex/server";
import type { ComponentApi as BatchApi } from "../../../../src/batch/_generated/component.js";
import type { ComponentApi as PoolApi } from "../../../../src/pool/_generated/component.js";
import type { ComponentApi as WorkerApi } from "../../../../src/worker/_generated/component.js";
import type * as analytics from "../analytics";
import type * as auth from "../auth";
import type * as batchActions from "../batchActions";
import type * as counter from "../counter";
import type * as email from "../email";
import type * as example from "../example";
import type * as jobs from "../jobs";
import type * as migrations from "../migrations";
import type * as pipeline from "../pipeline";
import type * as weather from "../weather";

type Api = ApiFromModules<{
  analytics: typeof analytics;
  auth: typeof auth;
  batchActions: typeof batchActions;
  counter: typeof counter;
  email: typeof email;
  example: typeof example;
  jobs: typeof jobs;
  migrations: typeof migrations;
  pipeline: typeof pipeline;
  weather: typeof weather;
}>;

type Kind = "query" | "mutation" | "action";

export const api = anyApi as unknown as FilterApi<Api, FunctionReference<Kind, "public">>;

export const internal = anyApi as unknown as FilterApi<Api, FunctionReference<Kind, "internal">>;

export const components = componentsGeneric() as unknown as {
  batchProcessor: BatchApi<"batchProcessor">;
  batchWorker: WorkerApi<"batchWorker">;
  emailWorkpool: PoolApi<"emailWorkpool">;
  scrapeWorkpool: PoolApi<"scrapeWorkpool">;
  counterWorkpool: PoolApi<"counterWorkpool">;
  standardPool: PoolApi<"standardPool">;
  batchPool: PoolApi<"batchPool">;
};
