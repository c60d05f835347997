/** A deployment with one pool and the user's functions of `app/`. */
import type { TestConvex } from "convex-test";
import {
  componentsGeneric,
  makeFunctionReference,
  type GenericDataModel,
  type GenericMutationCtx,
  type GenericSchema,
  type SchemaDefinition,
} from "convex/server";
import { Workpool, type WorkId, type WorkpoolOptions } from "../../src/client/pool.js";
import type { ComponentApi } from "../../src/pool/_generated/component.js";
import { register } from "../../src/test/pool.js";
import { deploy } from "../stage.js";
import schema from "./app/schema.js";
import { resetWatched } from "./app/watched.js";
import { kill, planDeath } from "./kill.js";

const modules = import.meta.glob("./app/**/*.ts");

export const components = componentsGeneric() as unknown as { pool: ComponentApi };

/** References to the functions of `app/jobs.ts`. */
export const jobs = {
  work: makeFunctionReference<"action", { name: string; ms?: number; fail?: string }, string>(
    "jobs:work",
  ),
  hang: makeFunctionReference<"action", { name: string; times?: number }, string>("jobs:hang"),
  large: makeFunctionReference<"action", { bytes: number }, string>("jobs:large"),
  write: makeFunctionReference<
    "mutation",
    { name: string; fail?: boolean; bytes?: number },
    string
  >("jobs:write"),
  writeMany: makeFunctionReference<"mutation", { name: string; rows: number }, string>(
    "jobs:writeMany",
  ),
  read: makeFunctionReference<"query", { name: string }, string>("jobs:read"),
  through: makeFunctionReference<"action", Record<string, never>, string[]>("jobs:through"),
  ended: makeFunctionReference<"mutation">("jobs:ended"),
  endedMany: makeFunctionReference<"mutation">("jobs:endedMany"),
};

export type MutationCtx = GenericMutationCtx<GenericDataModel>;

type Deployed = TestConvex<SchemaDefinition<GenericSchema, boolean>>;

/** A deployment, with shortcuts. */
export interface Stage {
  readonly t: Deployed;
  readonly pool: Workpool;
  /** Runs in one mutation of the app. */
  readonly mutate: <R>(run: (ctx: MutationCtx) => Promise<R>) => Promise<R>;
  /** Runs in one mutation of the component. */
  readonly inside: <R>(run: (ctx: MutationCtx) => Promise<R>) => Promise<R>;
  /** Rows of a table of the component. */
  readonly rows: (table: string) => Promise<Record<string, unknown>[]>;
  /** Rows of a table of the app. */
  readonly own: (table: string) => Promise<Record<string, unknown>[]>;
  readonly states: (ids: readonly WorkId[]) => Promise<string[]>;
}

interface InComponent {
  runInComponent<R>(path: string, run: (ctx: MutationCtx) => Promise<R>): Promise<R>;
}

export async function stage(options: WorkpoolOptions = {}): Promise<Stage> {
  resetWatched();
  planDeath(null);
  const t = await deploy(schema, modules);
  register(t);
  const pool = new Workpool(components.pool, options);
  const inside = t as unknown as InComponent;
  return {
    t,
    pool,
    mutate: (run) => t.mutation((ctx) => run(ctx as unknown as MutationCtx)),
    inside: (run) => inside.runInComponent("pool", run),
    rows: (table) => inside.runInComponent("pool", (ctx) => ctx.db.query(table).collect()),
    own: (table) => t.query((ctx) => (ctx as unknown as MutationCtx).db.query(table).collect()),
    states: async (ids) => {
      const found = await t.query((ctx) => pool.statusBatch(ctx, [...ids]));
      return found.map(({ state }) => state);
    },
  };
}

/** `count` names: a1, a2, … */
export function names(count: number, letter = "a"): { name: string }[] {
  return Array.from({ length: count }, (_, i) => ({ name: `${letter}${i + 1}` }));
}

/** The loop sleeps, and nothing runs. */
export async function isIdle({ rows }: Stage): Promise<boolean> {
  const [gate] = await rows("gate");
  return gate?.["state"] === "idle" && (await rows("executors")).length === 0;
}

/** Executors die: their scheduled functions end, and nobody says so. By default, all of them. */
export async function crash({ inside, rows }: Stage, token?: string): Promise<void> {
  for (const run of await rows("executors")) {
    if (token !== undefined && run["token"] !== token) continue;
    kill(run["token"] as string);
    await inside((ctx) => ctx.scheduler.cancel(run["run"] as never));
  }
}
