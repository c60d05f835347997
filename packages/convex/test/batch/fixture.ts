/** A deployment with one batch component and the user's functions of `app/`. */
import type { TestConvex } from "convex-test";
import type {
  GenericDataModel,
  GenericMutationCtx,
  GenericSchema,
  SchemaDefinition,
} from "convex/server";
import { BatchProcessor, type BatchConfig, type IteratorConfig } from "../../src/client/batch.js";
import { register } from "../../src/test/batch.js";
import { deploy } from "../stage.js";
import { components, internal } from "./app/_generated/api.js";
import schema from "./app/schema.js";
import { resetWatched } from "./app/watched.js";

const modules = import.meta.glob("./app/**/*.ts");

type MutationCtx = GenericMutationCtx<GenericDataModel>;

type Row = Record<string, unknown>;

export interface Event {
  n: number;
  text?: string;
}

interface InComponent {
  runInComponent<R>(path: string, run: (ctx: MutationCtx) => Promise<R>): Promise<R>;
}

/** A deployment, with shortcuts. */
export interface Stage {
  readonly t: TestConvex<SchemaDefinition<GenericSchema, boolean>>;
  readonly processor: BatchProcessor<Event>;
  /** Adds items to a batch, in one mutation of the app. */
  readonly add: (items: readonly Event[], batchId?: string) => Promise<void>;
  /** Starts, in one mutation of the app, a walk through all users. */
  readonly iterate: (
    batchSize: number,
    maxRetries?: number,
    options?: Partial<IteratorConfig>,
    jobId?: string,
  ) => Promise<void>;
  /** Runs in one mutation of the app. */
  readonly mutate: <R>(run: (ctx: MutationCtx) => Promise<R>) => Promise<R>;
  /** Runs in one mutation of the component. */
  readonly inside: <R>(run: (ctx: MutationCtx) => Promise<R>) => Promise<R>;
  /** Rows of a table of the component. */
  readonly rows: (table: string) => Promise<Row[]>;
}

export async function stage(config: Partial<BatchConfig<Event>> = {}): Promise<Stage> {
  resetWatched();
  const t = await deploy(schema, modules);
  register(t);
  const processor = new BatchProcessor<Event>(components.batch, {
    maxBatchSize: 100,
    flushIntervalMs: 1000,
    processBatch: internal.analytics.processEventsBatch,
    ...config,
  });
  const inside = t as unknown as InComponent;
  const mutate: Stage["mutate"] = (run) => t.mutation((ctx) => run(ctx as unknown as MutationCtx));
  return {
    t,
    processor,
    mutate,
    add: async (items, batchId = "events") => {
      await mutate((ctx) => processor.addItems(ctx, batchId, [...items]));
    },
    iterate: async (batchSize, maxRetries = 5, options = {}, jobId = "job") => {
      await mutate((ctx) =>
        processor.startIterator(ctx, jobId, {
          batchSize,
          getNextBatch: internal.migrations.getNextBatch,
          processBatch: internal.migrations.processBatch,
          onComplete: internal.migrations.onComplete,
          maxRetries,
          ...options,
        }),
      );
    },
    inside: (run) => inside.runInComponent("batch", run),
    rows: (table) => inside.runInComponent("batch", (ctx) => ctx.db.query(table).collect()),
  };
}

/** `count` events: 1, 2, … */
export function events(count: number, from = 1): Event[] {
  return Array.from({ length: count }, (_, i) => ({ n: from + i }));
}

/** Nothing waits, and nothing is flushed. */
export async function isEmpty({ rows }: Stage): Promise<boolean> {
  const tables = await Promise.all(["chunks", "headers", "flushes"].map((table) => rows(table)));
  return tables.every((found) => found.length === 0);
}

/** What the row names as its run dies, and nobody says so. */
export async function crash({ inside, rows }: Stage, table: "runners" | "jobs"): Promise<void> {
  const [row] = await rows(table);
  await inside((ctx) => ctx.scheduler.cancel(row?.["run"] as never));
}
