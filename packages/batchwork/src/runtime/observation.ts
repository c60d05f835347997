/**
 * Tells whoever wants to know what the engine does: listeners and hooks. Nothing here decides
 * anything, and where nobody listens nothing is made.
 */
import { revivedError, storedError } from "../core/errors.ts";
import { itemIds } from "../core/members.ts";
import type { Outcome } from "../core/settle.ts";
import type { ClaimedBatch } from "../storage/storage.ts";
import type { DeliveryEvent } from "./events.ts";
import type { HookCalls, HookJob } from "./hooks.ts";
import type { AddResult, IntakeItem } from "./intake.ts";
import type { LogFields } from "./logger.ts";
import type { LandedChunk } from "./open-chunk.ts";
import type { Queue } from "./queue.ts";
import type { Surroundings } from "./surroundings.ts";

/** How a handler ended. */
export interface HandlerEnd {
  /** Its own: the handler may have changed its array. Empty where no hook asks for them. */
  readonly items: readonly unknown[];
  readonly durationMs: number;
  readonly result: unknown;
  /** What it threw, unless `ctx.tx` had committed: then a throw changes nothing. */
  readonly thrown: { readonly error: unknown } | undefined;
  readonly failed: ReadonlyMap<number, unknown>;
}

/** Chunks were committed. */
export function landed(chunks: readonly LandedChunk[]): void {
  for (const { queue: given, group, count, bytes, firstId } of chunks) {
    const queue = given as Queue;
    if (!queue.events.hears("added")) continue;
    const { name, tags } = queue;
    const groupKey = queue.grouped ? group : undefined;
    queue.events.emit("added", { name, tags, groupKey, count, bytes, firstId, committed: true });
  }
}

/** Items are in a transaction of the caller's. */
export function addedInside(
  queue: Queue,
  items: readonly IntakeItem[],
  results: readonly AddResult[],
): void {
  if (!queue.events.hears("added")) return;
  const { name, tags } = queue;
  // Only items with keys are ever duplicates, and those come one by one, as their results do.
  const stored = items.filter((_, n) => results[n]?.duplicate !== true);
  for (const [group, together] of Map.groupBy(stored, (item) => item.group)) {
    const groupKey = queue.grouped ? group : undefined;
    const count = together.reduce((sum, item) => sum + (item.count ?? 1), 0);
    const bytes = together.reduce((sum, item) => sum + item.bytes, 0);
    const [firstId, committed] = [undefined, false] as const;
    queue.events.emit("added", { name, tags, groupKey, count, bytes, firstId, committed });
  }
}

/** A claim brought a batch. */
export function claimed(queue: Queue, batch: ClaimedBatch): void {
  const { events } = queue;
  const { reason, bytes } = batch;
  const sealedNow = batch.parentId === null && batch.token === 1 && batch.attempt === 1;
  if (sealedNow && events.hears("sealed")) {
    events.emit("sealed", { ...deliveryOf(queue, batch), reason, bytes });
  }
  if (events.hears("claimed")) events.emit("claimed", { ...deliveryOf(queue, batch), reason });
  if (batch.alone && events.hears("suspect")) events.emit("suspect", deliveryOf(queue, batch));
}

/** The handler is about to be called. */
export function started(queue: Queue, batch: ClaimedBatch): void {
  if (!queue.events.hears("started")) return;
  let ids: readonly string[] | undefined;
  queue.events.emit("started", {
    ...deliveryOf(queue, batch),
    reason: batch.reason,
    get itemIds() {
      return (ids ??= itemIds(batch.members));
    },
  });
}

export function progressed(queue: Queue, batch: ClaimedBatch, percent: number, note: string): void {
  if (!queue.events.hears("progress")) return;
  queue.events.emit("progress", { ...deliveryOf(queue, batch), percent, note });
}

export function leaseLost(queue: Queue, batch: ClaimedBatch): void {
  if (queue.events.hears("leaseLost")) queue.events.emit("leaseLost", deliveryOf(queue, batch));
}

/** An attempt has ended, and what failed in it counts. */
export function handled(
  queue: Queue,
  batch: ClaimedBatch,
  { items, durationMs, thrown, failed }: HandlerEnd,
  calls: HookCalls,
): void {
  if (thrown === undefined && failed.size === 0) return;
  const { onFail } = queue.hooks;
  const heard = queue.events.hears("failed");
  if (onFail === undefined && !heard) return;
  const [first] = failed.values();
  const error = asError(thrown === undefined ? first : thrown.error);
  const count = thrown === undefined ? failed.size : batch.count;
  if (heard) {
    queue.events.emit("failed", { ...deliveryOf(queue, batch), count, durationMs, error });
  }
  if (onFail === undefined) return;
  const job = jobOf(
    queue,
    batch,
    thrown === undefined ? items.filter((_, index) => failed.has(index)) : items,
  );
  calls.call("onFail", job, () => onFail(job, error));
}

/** What became of the batch is stored. */
export function settled(
  queue: Queue,
  batch: ClaimedBatch,
  outcome: Outcome,
  end: HandlerEnd | undefined,
  calls: HookCalls,
): void {
  queue.waiters?.told(batch, outcome);
  tellRetried(queue, batch, outcome);
  if (outcome.kind === "split" && outcome.dead.length > 0 && queue.events.hears("dead")) {
    const [count, { error }] = [outcome.dead.length, outcome];
    queue.events.emit("dead", { ...deliveryOf(queue, batch), count, error });
  }
  if (end === undefined || end.thrown !== undefined) return;
  const count = batch.count - end.failed.size;
  if (count === 0) return;
  const { durationMs, result } = end;
  if (queue.events.hears("succeeded")) {
    queue.events.emit("succeeded", { ...deliveryOf(queue, batch), count, durationMs, result });
  }
  const { onSuccess } = queue.hooks;
  if (onSuccess === undefined) return;
  const items = end.items.filter((_, index) => !end.failed.has(index));
  const job = jobOf(queue, batch, items);
  calls.call("onSuccess", job, () => onSuccess(job, result));
}

function tellRetried(queue: Queue, batch: ClaimedBatch, outcome: Outcome): void {
  if (outcome.kind === "done" || !queue.events.hears("retried")) return;
  const next =
    outcome.kind === "again"
      ? [{ size: batch.count, attempt: outcome.attempt, delayMs: outcome.delayMs }]
      : outcome.children.map(({ positions, attempt, delayMs }) => ({
          size: positions.length,
          attempt,
          delayMs,
        }));
  if (next.length === 0) return;
  const bisected = next.some(({ attempt }) => attempt === batch.attempt);
  queue.events.emit("retried", { ...deliveryOf(queue, batch), bisected, next });
}

/** Something went wrong that no caller is told of. */
export function trouble(
  { logger, events }: Pick<Surroundings, "logger" | "events">,
  level: "warn" | "error",
  message: string,
  fields: LogFields & { readonly error: unknown },
): void {
  logger[level](message, fields);
  if (events.hears("error")) events.emit("error", { message, error: fields.error });
}

/** Somebody called a method of the definition, and it did what it is for. */
export function tellBatch(
  { events, name, tags }: Queue,
  event: "paused" | "resumed" | "drained" | "flushed",
  groupKey?: string,
): void {
  if (!events.hears(event)) return;
  if (event === "flushed") events.emit(event, { name, tags, groupKey });
  else events.emit(event, { name, tags });
}

/** Others died, and this process found out. */
export function tellReaped(
  { events }: Pick<Surroundings, "events">,
  processes: number,
  released: number,
  dead: number,
): void {
  if (processes === 0 || !events.hears("reaped")) return;
  events.emit("reaped", { processes, released, dead });
}

function deliveryOf(queue: Queue, batch: ClaimedBatch): DeliveryEvent {
  return {
    name: queue.name,
    tags: queue.tags,
    batchId: String(batch.batch),
    groupKey: queue.grouped ? batch.group : undefined,
    size: batch.count,
    attempt: batch.attempt,
  };
}

function jobOf(queue: Queue, batch: ClaimedBatch, items: readonly unknown[]): HookJob<unknown> {
  const { name, tags, batchId, groupKey, attempt } = deliveryOf(queue, batch);
  return { batchId, name, groupKey, attempts: attempt, items, tags };
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : revivedError(storedError(thrown));
}
