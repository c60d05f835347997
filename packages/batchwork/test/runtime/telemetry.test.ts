/** Telemetry through OpenTelemetry, as an SDK with exporters in memory receives it. */
import {
  context,
  metrics,
  type Context,
  ProxyTracer,
  SpanKind,
  SpanStatusCode,
  trace,
} from "@opentelemetry/api";
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
  type DataPoint,
  type Histogram,
} from "@opentelemetry/sdk-metrics";
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import { describe, expect, onTestFinished, test, vi } from "vitest";

import type { BatchContext } from "../../src/runtime/context.ts";
import { Emitter } from "../../src/runtime/events.ts";
import { Fixture, forever, Hold, STORAGES } from "./fixture.ts";

const LIMITS = { name: "orders", maxSize: 3, maxWaitMs: 1000, tags: ["shop"] };

interface Sdk {
  /** The value of each instrument, summed over its attributes. */
  readonly values: () => Promise<Record<string, unknown>>;
  readonly spans: InMemorySpanExporter;
}

/** An SDK, for the length of a test. */
function sdk(): Sdk {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 2 ** 30 });
  const meters = new MeterProvider({ readers: [reader] });
  metrics.setGlobalMeterProvider(meters);
  const spans = new InMemorySpanExporter();
  trace.setGlobalTracerProvider(
    new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] }),
  );
  onTestFinished(async () => {
    metrics.disable();
    trace.disable();
    await meters.shutdown();
  });
  async function values(): Promise<Record<string, unknown>> {
    await meters.forceFlush();
    const [scope] = exporter.getMetrics().at(-1)?.scopeMetrics ?? [];
    expect(scope?.scope.name).toBe("batchwork");
    const found: Record<string, unknown> = {};
    for (const { descriptor, dataPoints } of scope?.metrics ?? []) {
      const points = dataPoints as DataPoint<number | Histogram>[];
      for (const { value, attributes } of points) {
        expect(attributes["batchwork.batch.name"]).toBe("orders");
        const outcome = attributes["batchwork.outcome"];
        const key = typeof outcome === "string" ? `${descriptor.name} ${outcome}` : descriptor.name;
        found[key] =
          typeof value === "number"
            ? value + ((found[key] ?? 0) as number)
            : { count: value.count, sum: value.sum };
      }
    }
    return found;
  }
  return { values, spans };
}

describe.each(STORAGES)("telemetry on %s storage", (kind) => {
  test("counts items and batches, and measures sizes, waits and handlers", async () => {
    const { values } = sdk();
    const f = new Fixture(kind);
    const { batch } = await f.started((bw) =>
      bw.batch<number>({
        ...LIMITS,
        handler: async (ctx) => {
          await new Promise<void>((resolve) => {
            f.clock.after(20, resolve);
          });
          if (ctx.batch.includes(9)) throw new Error("nine");
        },
      }),
    );
    await f.run(batch.addBulk([1, 2, 3]));
    await f.advance(100);
    await f.run(batch.add(4));
    await f.advance(2000);
    await f.run(batch.addBulk([7, 8, 9]));
    await f.advance(2000);
    expect(await values()).toEqual({
      "batchwork.items.added": 7,
      "batchwork.items.delivered": 4,
      "batchwork.items.failed": 3,
      "batchwork.items.dead": 3,
      "batchwork.batch.deliveries": 3,
      "batchwork.batch.size": { count: 3, sum: 7 },
      "batchwork.batch.wait": { count: 3, sum: 1000 },
      "batchwork.handler.duration succeeded": { count: 2, sum: 40 },
      "batchwork.handler.duration failed": { count: 1, sum: 20 },
    });
  });

  test("each delivery is a span of its own, which says what became of it", async () => {
    const { spans } = sdk();
    const f = new Fixture(kind);
    const groupBy = (): string => "web";
    const { batch } = await f.started((bw) =>
      bw.batch<number>({
        ...LIMITS,
        groupBy,
        retries: { max: 1 },
        handler: (ctx) => {
          if (ctx.attempt === 1) throw new TypeError("no luck");
        },
      }),
    );
    await f.run(batch.addBulk([1, 2, 3]));
    await f.advance(10_000);
    const [first, second] = spans.getFinishedSpans();
    expect(first).toMatchObject({
      name: "process orders",
      kind: SpanKind.CONSUMER,
      parentSpanContext: undefined,
      status: { code: SpanStatusCode.ERROR, message: "no luck" },
      attributes: {
        "batchwork.batch.name": "orders",
        "batchwork.batch.id": expect.any(String) as unknown,
        "batchwork.batch.size": 3,
        "batchwork.batch.attempt": 1,
        "batchwork.batch.reason": "size",
        "batchwork.batch.group": "web",
        "batchwork.batch.tags": ["shop"],
        "error.type": "TypeError",
      },
      events: [{ name: "exception" }],
    });
    expect(second).toMatchObject({
      status: { code: SpanStatusCode.UNSET },
      attributes: { "batchwork.batch.attempt": 2 },
    });
    expect(first?.spanContext().traceId).not.toBe(second?.spanContext().traceId);
    expect(spans.getFinishedSpans()).toHaveLength(2);
  });

  test("a handler that was cut off by its timeout ends its span then", async () => {
    const { spans } = sdk();
    const f = new Fixture(kind);
    const hold = new Hold();
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, timeout: 50, handler: () => hold.wait() }),
    );
    await f.run(batch.addBulk([1, 2, 3]));
    await f.advance(1000);
    expect(spans.getFinishedSpans()).toMatchObject([
      { attributes: { "error.type": "HANDLER_TIMEOUT" } },
    ]);
  });

  test("what the handler traces is a part of its delivery", async () => {
    const { spans } = sdk();
    const f = new Fixture(kind);
    const active: unknown[] = [];
    context.setGlobalContextManager(new Stack());
    onTestFinished(() => context.disable());
    const handler = (_: BatchContext<number>): void => {
      active.push(trace.getActiveSpan()?.spanContext().spanId);
    };
    const { batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    await f.run(batch.addBulk([1, 2, 3]));
    await f.advance(10);
    expect(active).toEqual(spans.getFinishedSpans().map((span) => span.spanContext().spanId));
    expect(active).toHaveLength(1);
  });
});

describe.each(STORAGES)("telemetry of pools on %s storage", (kind) => {
  test("each attempt of a task is a span of its own, which says what became of it", async () => {
    const { spans } = sdk();
    const f = new Fixture(kind);
    const active: unknown[] = [];
    context.setGlobalContextManager(new Stack());
    onTestFinished(() => context.disable());
    const { batch: pool } = await f.started((bw) =>
      bw.pool({
        name: "emails",
        tags: ["shop"],
        retry: { maxAttempts: 2, initialBackoffMs: 100, base: 2 },
        handlers: {
          welcome: (user: string, ctx) => {
            active.push(trace.getActiveSpan()?.spanContext().spanId);
            if (ctx.attempt === 1) throw new TypeError(`no luck for ${user}`);
          },
        },
      }),
    );
    const id = await f.run(pool.enqueue("welcome", "ann", { serialKey: "a" }));
    await f.advance(1000);
    const [first, second] = spans.getFinishedSpans();
    expect(first).toMatchObject({
      name: "process emails/welcome",
      kind: SpanKind.CONSUMER,
      parentSpanContext: undefined,
      status: { code: SpanStatusCode.ERROR, message: "no luck for ann" },
      attributes: {
        "batchwork.pool.name": "emails",
        "batchwork.pool.tags": ["shop"],
        "batchwork.task.name": "welcome",
        "batchwork.task.id": id,
        "batchwork.task.attempt": 1,
        "batchwork.task.serial_key": "a",
        "error.type": "TypeError",
      },
      events: [{ name: "exception" }],
    });
    expect(second).toMatchObject({
      status: { code: SpanStatusCode.UNSET },
      attributes: { "batchwork.task.id": id, "batchwork.task.attempt": 2 },
    });
    expect(first?.spanContext().traceId).not.toBe(second?.spanContext().traceId);
    const finished = spans.getFinishedSpans().map((span) => span.spanContext().spanId);
    expect(finished).toHaveLength(2);
    expect(active).toEqual(finished);
  });

  test("a task that its timeout cut off, and one that stop gave back, end their spans then", async () => {
    const { spans } = sdk();
    const f = new Fixture(kind);
    const { bw, batch: pool } = await f.started((bw) =>
      bw.pool({
        name: "emails",
        handlers: { hang: { timeout: 50, handler: forever }, hold: { handler: forever } },
      }),
    );
    await f.run(pool.enqueue("hang", undefined));
    await f.advance(1000);
    await f.run(pool.enqueue("hold", undefined));
    await f.advance(10);
    await f.runFor(100, bw.stop({ graceMs: 100 }));
    expect(spans.getFinishedSpans()).toMatchObject([
      { name: "process emails/hang", attributes: { "error.type": "HANDLER_TIMEOUT" } },
      { name: "process emails/hold", attributes: { "error.type": "STOPPED" } },
    ]);
  });

  test("telling onCompleteBatch is a span, as of any batch", async () => {
    const { spans } = sdk();
    const f = new Fixture(kind);
    const { batch: pool } = await f.started((bw) =>
      bw.pool({
        name: "emails",
        handlers: { welcome: (n: number) => n },
        onCompleteBatch: () => undefined,
      }),
    );
    await f.run(pool.enqueueBatch("welcome", [1, 2, 3]));
    await f.advance(1000);
    const told = spans
      .getFinishedSpans()
      .filter(({ name }) => name === "process emails onComplete");
    expect(told).toMatchObject([{ attributes: { "batchwork.batch.size": 3 } }]);
    expect(spans.getFinishedSpans()).toHaveLength(4);
  });
});

test("without an SDK no span is made, of batches and tasks alike", async () => {
  const f = new Fixture("memory");
  const made = vi.spyOn(ProxyTracer.prototype, "startSpan");
  onTestFinished(() => made.mockRestore());
  const ran = new Set<number>();
  const { batch: pool } = await f.started((bw) => {
    const handler = (ctx: BatchContext<number>): void => {
      for (const n of ctx.batch) ran.add(n);
    };
    const tasks = bw.pool({ name: "p", handlers: { run: (n: number) => ran.add(n).size } });
    return { batch: bw.batch<number>({ ...LIMITS, handler }), tasks };
  });
  await f.run(pool.batch.addBulk([1, 2, 3]));
  await f.run(pool.tasks.enqueue("run", 4));
  await f.advance(10);
  expect(ran).toEqual(new Set([1, 2, 3, 4]));
  expect(made).not.toHaveBeenCalled();
});

test("without an SDK nobody listens, and batches run all the same", async () => {
  const f = new Fixture("memory");
  const emit = vi.spyOn(Emitter.prototype, "emit");
  onTestFinished(() => emit.mockRestore());
  const items: number[] = [];
  const { batch } = await f.started((bw) =>
    bw.batch<number>({ ...LIMITS, handler: (ctx) => void items.push(...ctx.batch) }),
  );
  await f.run(batch.addBulk([1, 2, 3]));
  await f.advance(10);
  expect(items).toEqual([1, 2, 3]);
  expect(emit).not.toHaveBeenCalled();
});

/** The smallest context manager: a handler is called within its context. */
class Stack {
  #active = context.active();

  active(): Context {
    return this.#active;
  }

  with<A extends unknown[], F extends (...args: A) => ReturnType<F>>(
    active: Context,
    fn: F,
    thisArg?: ThisParameterType<F>,
    ...args: A
  ): ReturnType<F> {
    const before = this.#active;
    this.#active = active;
    try {
      return fn.call(thisArg as ThisParameterType<F>, ...args);
    } finally {
      this.#active = before;
    }
  }

  bind<T>(_: unknown, target: T): T {
    return target;
  }

  enable(): this {
    return this;
  }

  disable(): this {
    return this;
  }
}
