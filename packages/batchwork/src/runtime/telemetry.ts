/**
 * OpenTelemetry, where the process has it: counters, histograms, and a span per delivery. Without
 * `@opentelemetry/api`, or without an SDK behind it, nothing of this costs anything.
 */
import { createRequire } from "node:module";

import type * as Otel from "@opentelemetry/api";
import type { Attributes, Counter, Histogram, Meter, Tracer } from "@opentelemetry/api";

import type { Clock } from "../core/clock.ts";
import type { ClaimedBatch } from "../storage/storage.ts";
import type { AddedEvent, BatchEvent, Emitter, EngineEvents, StartedEvent } from "./events.ts";
import type { Queue } from "./queue.ts";
import { batchAttributes, HandlerSpan, taskAttributes, type TracedTask } from "./spans.ts";

type Api = typeof Otel;

/** The scope of all instruments and spans. */
const SCOPE = "batchwork";

/** Chunks whose time of commit is remembered; the oldest are forgotten, and then not measured. */
const COMMITS_MAX = 10_000;

/** The telemetry of one engine. */
export class Telemetry {
  readonly #clock: Clock;
  readonly #events: Emitter<EngineEvents>;
  readonly #off: (() => void)[] = [];
  /** When the chunks of this process were committed, by the part their ids have in common. */
  readonly #committedAt = new Map<string, number>();
  #api: Api | undefined;
  #tracer: Tracer | undefined;

  constructor(clock: Clock, events: Emitter<EngineEvents>) {
    this.#clock = clock;
    this.#events = events;
  }

  /** Looks for the API. */
  start(): void {
    // Where a start failed and this is another.
    this.stop();
    this.#api = load();
    if (this.#api === undefined) return;
    const tracer = this.#api.trace.getTracer(SCOPE);
    // One that stands in for what may be registered later would take its attributes all the same.
    this.#tracer = tracer.constructor === this.#api.ProxyTracer ? undefined : tracer;
    const meter = this.#api.metrics.getMeter(SCOPE);
    if (meter.constructor !== this.#api.createNoopMeter().constructor) this.#measure(meter);
  }

  stop(): void {
    for (const off of this.#off.splice(0)) off();
  }

  /** Runs a handler in a span of its own, which is active meanwhile. */
  trace(queue: Queue, batch: ClaimedBatch, handle: () => Promise<unknown>): Promise<unknown> {
    const [api, tracer] = [this.#api, this.#tracer];
    if (api === undefined || tracer === undefined) return handle();
    const span = new HandlerSpan(api, tracer, queue.name, batchAttributes(queue, batch));
    return span.within(async () => {
      try {
        const result = await handle();
        span.end();
        return result;
      } catch (error) {
        span.end({ error });
        throw error;
      }
    });
  }

  /** Begins the span of an attempt of a task, which the caller ends; `undefined` for none. */
  traceTask(task: TracedTask, tags: readonly string[]): HandlerSpan | undefined {
    const [api, tracer] = [this.#api, this.#tracer];
    if (api === undefined || tracer === undefined) return undefined;
    return new HandlerSpan(api, tracer, `${task.pool}/${task.name}`, taskAttributes(task, tags));
  }

  #measure(meter: Meter): void {
    this.#countItems(meter);
    const deliveries = counter(meter, "batch.deliveries", "{batch}", "Batches given to handlers.");
    const size = histogram(meter, "batch.size", "{item}", "Items in a batch given to a handler.");
    const wait = histogram(
      meter,
      "batch.wait",
      "ms",
      "From the commit of a batch's oldest item, by this process, to its first handler.",
    );
    const duration = histogram(meter, "handler.duration", "ms", "How long handlers took.");
    const on = this.#events.on.bind(this.#events);
    this.#off.push(
      on("added", (event) => this.#remember(event)),
      on("started", (event) => {
        deliveries.add(1, { ...labels(event), "batchwork.batch.reason": event.reason });
        size.record(event.size, labels(event));
        const waited = this.#waited(event);
        if (waited !== undefined) wait.record(waited, labels(event));
      }),
      on("succeeded", (event) => {
        // One that failed in part is measured as such.
        if (event.count === event.size) duration.record(event.durationMs, ended(event, true));
      }),
      on("failed", (event) => duration.record(event.durationMs, ended(event, false))),
    );
  }

  #countItems(meter: Meter): void {
    const added = counter(meter, "items.added", "{item}", "Items stored by this process.");
    const delivered = counter(meter, "items.delivered", "{item}", "Items that are done.");
    const failed = counter(meter, "items.failed", "{item}", "Items that an attempt failed.");
    const dead = counter(meter, "items.dead", "{item}", "Items that became dead letters.");
    const on = this.#events.on.bind(this.#events);
    this.#off.push(
      on("added", (event) => added.add(event.count, labels(event))),
      on("succeeded", (event) => delivered.add(event.count, labels(event))),
      on("failed", (event) => failed.add(event.count, labels(event))),
      on("dead", (event) => dead.add(event.count, labels(event))),
    );
  }

  #remember({ firstId }: AddedEvent): void {
    if (firstId === undefined) return;
    const committed = this.#committedAt;
    committed.set(chunkOf(firstId), this.#clock.monotonicMs());
    if (committed.size <= COMMITS_MAX) return;
    const [oldest] = committed.keys();
    committed.delete(oldest as string);
  }

  /** How long the oldest item has waited, ms, where this process has stored it. */
  #waited({ attempt, itemIds: [oldest] }: StartedEvent): number | undefined {
    if (attempt > 1 || oldest === undefined) return undefined;
    const at = this.#committedAt.get(chunkOf(oldest));
    return at === undefined ? undefined : this.#clock.monotonicMs() - at;
  }
}

/**
 * At once, and not by `import()`: no delivery goes unmeasured, and a start on a clock that stands
 * still waits for no file. All copies of the API in a process share what is registered.
 */
function load(): Api | undefined {
  try {
    return createRequire(import.meta.url)("@opentelemetry/api") as Api;
  } catch {
    // It is not installed: nobody asks for telemetry.
    return undefined;
  }
}

function labels({ name }: BatchEvent): Attributes {
  return { "batchwork.batch.name": name };
}

function ended(event: BatchEvent, succeeded: boolean): Attributes {
  return { ...labels(event), "batchwork.outcome": succeeded ? "succeeded" : "failed" };
}

function counter(meter: Meter, name: string, unit: string, description: string): Counter {
  return meter.createCounter(`batchwork.${name}`, { unit, description });
}

function histogram(meter: Meter, name: string, unit: string, description: string): Histogram {
  return meter.createHistogram(`batchwork.${name}`, { unit, description });
}

/** Ids of the items of one chunk differ in what follows the last separator. */
function chunkOf(itemId: string): string {
  return itemId.slice(0, itemId.lastIndexOf(":"));
}
