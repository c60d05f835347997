/** A deployment with one worker and the user's functions of `app/`. */
import type { TestConvex } from "convex-test";
import type {
  GenericDataModel,
  GenericMutationCtx,
  GenericSchema,
  SchemaDefinition,
} from "convex/server";
import { register } from "../../src/test/worker.js";
import { deploy } from "../stage.js";
import { components, internal } from "./app/_generated/api.js";
import schema from "./app/schema.js";
import { resetWatched } from "./app/watched.js";

const modules = import.meta.glob("./app/**/*.ts");

type MutationCtx = GenericMutationCtx<GenericDataModel>;

type Row = Record<string, unknown>;

interface InComponent {
  runInComponent<R>(path: string, run: (ctx: MutationCtx) => Promise<R>): Promise<R>;
}

/** A deployment, with shortcuts. */
export interface Stage {
  readonly t: TestConvex<SchemaDefinition<GenericSchema, boolean>>;
  readonly add: (value: number, debounceMs?: number) => Promise<void>;
  readonly status: (name?: string) => Promise<string | undefined>;
  readonly explain: () => Promise<Row | null>;
  /** Calls a mutation of `components.worker.lib`. */
  readonly tell: (what: "stop" | "start" | "kick", name?: string) => Promise<void>;
  /** Runs in one mutation of the component. */
  readonly inside: <R>(run: (ctx: MutationCtx) => Promise<R>) => Promise<R>;
  /** Rows of a table of the component. */
  readonly rows: (table: string) => Promise<Row[]>;
  /** Values that were handled, in order. */
  readonly handled: () => Promise<number[]>;
}

export async function stage(): Promise<Stage> {
  resetWatched();
  const t = await deploy(schema, modules);
  register(t);
  const inside = t as unknown as InComponent;
  const { lib } = components.worker;
  return {
    t,
    add: async (value, debounceMs) => {
      const args = debounceMs === undefined ? { value } : { value, debounceMs };
      await t.mutation(internal.events.add, args);
    },
    status: async (name = "events") => {
      const found = await t.query((ctx) => ctx.runQuery(lib.status, { name }));
      return found?.kind;
    },
    explain: () => t.query((ctx) => ctx.runQuery(lib.explain, { name: "events" })),
    tell: async (what, name = "events") => {
      await t.mutation((ctx) => ctx.runMutation(lib[what], { name }));
    },
    inside: (run) => inside.runInComponent("worker", run),
    rows: (table) => inside.runInComponent("worker", (ctx) => ctx.db.query(table).collect()),
    handled: async () => {
      const rows = await t.query((ctx) => ctx.db.query("handled").collect());
      return rows.flatMap(({ values }) => values as number[]);
    },
  };
}

/** The next turn of the loop dies: the scheduler drops it, and nobody says so. */
export async function crash({ inside, rows }: Stage): Promise<void> {
  const [loop] = await rows("loops");
  await inside((ctx) => ctx.scheduler.cancel(loop?.["run"] as never));
}
