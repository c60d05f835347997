/** What a definition may have besides, each by itself, and what is added with it. */
import { trace } from "@opentelemetry/api";
import { BasicTracerProvider } from "@opentelemetry/sdk-trace-base";
import type { BatchContext, BatchOptions, BulkOptions, StandardSchema } from "batchwork";
import type { Item } from "../harness/items.ts";

export interface Feature {
  /** For the name of its row, and for the table of ratios. */
  readonly name: string;
  readonly options?: Partial<BatchOptions<Item>> & { readonly schema?: StandardSchema };
  readonly adding?: BulkOptions<Item>;
  /** Called before the engine is made. */
  readonly prepare?: () => void;
  /** What the handler returns. */
  readonly returned?: (ctx: BatchContext<Item>) => unknown;
  /** Another definition on the same file has these; nothing is ever added to it. */
  readonly beside?: Partial<BatchOptions<Item>>;
}

const MINUTE_MS = 60_000;

const schema: StandardSchema<Item, Item> = {
  "~standard": {
    version: 1,
    vendor: "bench",
    validate: (value) => {
      const { id } = value as Item;
      return typeof id === "number"
        ? { value: value as Item }
        : { issues: [{ message: "no number", path: ["id"] }] };
    },
  },
};

const ALL: Partial<BatchOptions<Item>> = {
  throttle: { max: 1000, duration: MINUTE_MS },
  deduplicateBy: ({ id }) => String(id),
  hooks: { beforeFlush: (items) => items.filter(({ ok }) => ok) },
  target: { durationMs: 1000 },
  maxPending: { items: 10_000 },
  removeOnComplete: 1000,
  removeOnFail: 1000,
  tags: ["one", "two"],
};

export const FEATURES: readonly Feature[] = [
  { name: "none" },
  // What they cost who does not use them: they are in use beside it, in the same file.
  { name: "unused", beside: ALL },
  { name: "throttle", options: { throttle: { max: 1_000_000, duration: MINUTE_MS } } },
  { name: "deduplicateBy", options: { deduplicateBy: ({ id }) => String(id) } },
  { name: "idempotencyKey", adding: { idempotencyKey: ({ id }) => String(id) } },
  { name: "beforeFlush", options: { hooks: { beforeFlush: (items) => [...items] } } },
  { name: "schema", options: { schema } },
  { name: "target", options: { target: { durationMs: 1000 }, minSize: 400 } },
  {
    name: "results",
    adding: { keepResult: true },
    returned: (ctx) => ctx.results(ctx.batch.map(({ id }) => id)),
  },
  { name: "maxPending", options: { maxPending: { items: 10_000_000, policy: "wait" } } },
  { name: "removeOnComplete", options: { removeOnComplete: 1000 } },
  { name: "tags", options: { tags: ["one", "two"] } },
  {
    name: "telemetry",
    prepare: () => void trace.setGlobalTracerProvider(new BasicTracerProvider()),
  },
];
