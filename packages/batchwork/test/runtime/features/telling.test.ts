/** What batches tell of themselves, on every storage there is. */
import { metrics, trace } from "@opentelemetry/api";
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import { describe, expect, onTestFinished, test } from "vitest";

import type { HookJob } from "../../../src/index.ts";
import { homes, Busy, numbers, World } from "../pools/world.ts";
import { EVENTS } from "../event-names.ts";
import { defining } from "./defining.ts";

describe.each(homes())("telling on $name storage", (home) => {
  test("onSuccess and onFail are told of the items, the group, the tags and what came of it", async () => {
    const world = await World.on(home);
    const told: unknown[] = [];
    const { pool: batch } = await world.started(
      defining<number>({
        groupBy: () => "shop",
        tags: ["billing"],
        retries: { max: 1, baseDelay: 100 },
        hooks: {
          onSuccess: (job: HookJob<number>, result: unknown) =>
            void told.push(["success", job, result]),
          onFail: (job: HookJob<number>, error: Error) =>
            void told.push(["fail", job, error.message]),
        },
        handler: (ctx) => {
          if (ctx.attempt === 1) ctx.fail(1, new Error("no"));
          return `sent ${ctx.batchSize}`;
        },
      }),
    );
    await world.run(batch.addBulk([7, 8, 9]));
    await world.run(batch.flush());
    await world.until(() => told.length === 3);
    const job = { name: "b", groupKey: "shop", tags: ["billing"] };
    expect(told).toMatchObject([
      ["fail", { ...job, attempts: 1, items: [8] }, "no"],
      ["success", { ...job, attempts: 1, items: [7, 9] }, "sent 3"],
      ["success", { ...job, attempts: 2, items: [8] }, "sent 1"],
    ]);
  });

  test("tags find a definition, and status() has them", async () => {
    const world = await World.on(home);
    const { bw, pool: batch } = await world.started(
      defining<number>({ tags: ["billing", "slow"], handler: () => undefined }),
    );
    expect(bw.batches({ tag: "slow" })).toEqual([batch]);
    expect(bw.batches({ tag: "fast" })).toEqual([]);
    expect((await world.run(batch.status())).tags).toEqual(["billing", "slow"]);
  });

  test("ctx.progress is seen by every process while the batch runs", async () => {
    const world = await World.on(home);
    const busy = new Busy();
    const define = defining<number>({
      handler: async (ctx) => {
        await ctx.progress(40, "4 of 10");
        await busy.handler(ctx.id);
      },
    });
    const { pool: batch } = await world.started(define);
    const { pool: other } = await world.started(define);
    await world.run(batch.addBulk(numbers(10)));
    await world.until(() => busy.running === 1);
    expect((await world.run(other.status())).running).toMatchObject([
      { batchId: busy.started[0], size: 10, percent: 40, note: "4 of 10" },
    ]);
    busy.release();
    await world.until(async () => (await world.run(other.status())).leased === 0);
  });

  test("there is an event for every step", async () => {
    const world = await World.on(home);
    const heard: string[] = [];
    let failing = false;
    let told = 0;
    const busy = new Busy();
    const define = defining<number>({
      maxSize: 3,
      retries: { max: 1, baseDelay: 10 },
      handler: async (ctx) => {
        await ctx.progress(50);
        if (ctx.batch.includes(9)) throw new Error("nine");
        if (ctx.batch.includes(7) && busy.started.length === 0) await busy.handler(7);
      },
    });
    const first = await world.started(define, {}, ({ method }) =>
      failing && method === "exchange" && told++ === 0 ? { fail: "before" } : undefined,
    );
    const { bw, pool: batch } = first;
    for (const event of EVENTS) bw.on(event, () => void heard.push(event));
    await world.run(batch.addBulk([1, 2, 9]));
    await world.until(() => heard.includes("dead"));
    await world.run(batch.add(1));
    await world.run(batch.flush());
    await world.run(batch.drain());
    await world.run(batch.resume());
    // Taken for dead by another process, which has what it ran.
    await world.run(batch.addBulk([7, 7, 7]));
    await world.until(() => busy.running === 1);
    first.freeze();
    const other = await world.started(define);
    for (const event of EVENTS) other.bw.on(event, () => void heard.push(event));
    await world.until(() => heard.includes("suspect"), 500);
    first.thaw();
    await world.until(() => heard.includes("leaseLost"), 500);
    busy.release();
    failing = true;
    await world.until(() => heard.includes("error"), 500);
    await world.run(bw.stop({ graceMs: 0 }));
    expect([...new Set(heard)].toSorted()).toEqual([...EVENTS].toSorted());
  });

  test("OpenTelemetry has counters, histograms, and a span of each delivery", async () => {
    const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
    const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 2 ** 30 });
    const meters = new MeterProvider({ readers: [reader] });
    metrics.setGlobalMeterProvider(meters);
    const spans = new InMemorySpanExporter();
    const processor = new SimpleSpanProcessor(spans);
    trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [processor] }));
    onTestFinished(async () => {
      metrics.disable();
      trace.disable();
      await meters.shutdown();
    });
    const world = await World.on(home);
    const { pool: batch } = await world.started(
      defining<number>({
        maxSize: 3,
        handler: (ctx) => {
          if (ctx.batch.includes(9)) throw new Error("nine");
        },
      }),
    );
    await world.run(batch.addBulk([1, 2, 3]));
    await world.run(batch.addBulk([7, 8, 9]));
    await world.run(batch.flush());
    await meters.forceFlush();
    const [scope] = exporter.getMetrics().at(-1)?.scopeMetrics ?? [];
    const found = new Set(scope?.metrics.map(({ descriptor }) => descriptor.name));
    expect(found).toEqual(
      new Set([
        "batchwork.items.added",
        "batchwork.items.delivered",
        "batchwork.items.failed",
        "batchwork.items.dead",
        "batchwork.batch.deliveries",
        "batchwork.batch.size",
        "batchwork.batch.wait",
        "batchwork.handler.duration",
      ]),
    );
    const finished = spans.getFinishedSpans();
    expect(finished.map(({ name }) => name)).toEqual(["process b", "process b"]);
    expect(finished.filter(({ events }) => events.length > 0)).toHaveLength(1);
  });
});
