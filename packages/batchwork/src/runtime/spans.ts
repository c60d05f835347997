/** Spans around calls of handlers: what they are called, what they carry, how they end. */
import type * as Otel from "@opentelemetry/api";
import type { Attributes, Span, Tracer } from "@opentelemetry/api";

import { BatchworkError } from "../core/errors.ts";
import type { ClaimedBatch } from "../storage/storage.ts";
import type { Queue } from "./queue.ts";

/** A task whose attempt begins. */
export interface TracedTask {
  readonly id: string;
  readonly pool: string;
  readonly name: string;
  readonly attempt: number;
  readonly serialKey: string | undefined;
}

/** The span of one delivery: of a batch, or of a task. */
export class HandlerSpan {
  readonly #api: typeof Otel;
  readonly #span: Span;

  /** Begins now. It has no parent: whoever added the items went on long ago. */
  constructor(api: typeof Otel, tracer: Tracer, name: string, attributes: Attributes) {
    this.#api = api;
    const kind = api.SpanKind.CONSUMER;
    this.#span = tracer.startSpan(`process ${name}`, { root: true, kind, attributes });
  }

  /** Calls `fn`; what is traced in there is a part of the span. */
  within<R>(fn: () => R): R {
    const { context, trace } = this.#api;
    return context.with(trace.setSpan(context.active(), this.#span), fn);
  }

  /** Ends it, as failed where something was thrown. */
  end(thrown?: { readonly error: unknown }): void {
    if (thrown !== undefined) this.#fail(thrown.error);
    this.#span.end();
  }

  #fail(error: unknown): void {
    const known = error instanceof Error;
    if (known) this.#span.recordException(error);
    const name = known ? error.name : "_OTHER";
    this.#span.setAttribute("error.type", error instanceof BatchworkError ? error.code : name);
    const code = this.#api.SpanStatusCode.ERROR;
    this.#span.setStatus({ code, message: known ? error.message : "" });
  }
}

export function batchAttributes(queue: Queue, batch: ClaimedBatch): Attributes {
  return {
    "batchwork.batch.name": queue.name,
    "batchwork.batch.id": String(batch.batch),
    "batchwork.batch.size": batch.count,
    "batchwork.batch.attempt": batch.attempt,
    "batchwork.batch.reason": batch.reason,
    ...(queue.grouped ? { "batchwork.batch.group": batch.group } : {}),
    ...(queue.tags.length > 0 ? { "batchwork.batch.tags": [...queue.tags] } : {}),
  };
}

export function taskAttributes(
  { pool, name, id, attempt, serialKey }: TracedTask,
  tags: readonly string[],
): Attributes {
  return {
    "batchwork.pool.name": pool,
    "batchwork.task.name": name,
    "batchwork.task.id": id,
    "batchwork.task.attempt": attempt,
    ...(serialKey === undefined ? {} : { "batchwork.task.serial_key": serialKey }),
    ...(tags.length > 0 ? { "batchwork.pool.tags": [...tags] } : {}),
  };
}
