/**
 * Tells listeners what happens to tasks, with the events of batches: each task is a delivery of
 * one item, and its id stands for that of the batch. Where nobody listens nothing is made.
 */
import { revivedError } from "../core/errors.ts";
import { laneOf } from "../core/lane.ts";
import type { DeliveryEvent } from "./events.ts";
import type { LandedChunk } from "./open-chunk.ts";
import type { TaskRoute } from "./pool-intake.ts";
import type { EndedRun, TaskSlice } from "./task-slice.ts";

/** Tasks were committed. */
export function tellAdded({ pool }: TaskRoute, chunk: LandedChunk): void {
  const { events, queue } = pool;
  if (!events.hears("added")) return;
  const { name, tags } = queue;
  const { count, bytes, firstId, group } = chunk;
  const groupKey = laneOf(group).serialKey || undefined;
  events.emit("added", { name, tags, groupKey, count, bytes, firstId, committed: true });
}

/** The handlers of these tasks are about to be called. */
export function tellStarted(slice: TaskSlice): void {
  const { events } = slice.pool;
  if (!events.hears("started")) return;
  for (const index of slice.claimed.indices) {
    const id = slice.idOf(index);
    events.emit("started", { ...deliveryOf(slice, id), reason: "time", itemIds: [id] });
  }
}

/** What became of these tasks is stored. */
export function tellSettled(slice: TaskSlice, ended: readonly EndedRun[]): void {
  const { events } = slice.pool;
  const heard = ["succeeded", "failed", "retried", "dead", "canceled"] as const;
  if (!heard.some((event) => events.hears(event))) return;
  for (const one of ended) tellEnd(slice, one);
}

/** Somebody else has these tasks. */
export function tellLost(slice: TaskSlice, indices: Iterable<number>): void {
  const { events } = slice.pool;
  if (!events.hears("leaseLost")) return;
  for (const index of indices) {
    events.emit("leaseLost", deliveryOf(slice, slice.idOf(index)));
  }
}

function tellEnd(slice: TaskSlice, { run, end, verdict, endedAt }: EndedRun): void {
  const { events } = slice.pool;
  const delivery = deliveryOf(slice, run.id);
  const durationMs = endedAt - run.startedAt;
  if (run.canceled) {
    events.emit("canceled", delivery);
    return;
  }
  if (verdict.kind === "done") {
    const result = end.kind === "returned" ? end.value : undefined;
    events.emit("succeeded", { ...delivery, count: 1, durationMs, result });
    return;
  }
  const error = errorOf(end) ?? revivedError(verdict.error);
  events.emit("failed", { ...delivery, count: 1, durationMs, error });
  if (verdict.kind === "dead") {
    events.emit("dead", { ...delivery, count: 1, error: verdict.error });
    return;
  }
  const { attempt, delayMs } = verdict;
  events.emit("retried", { ...delivery, bisected: false, next: [{ size: 1, attempt, delayMs }] });
}

function errorOf(end: EndedRun["end"]): Error | undefined {
  return end.kind === "threw" && end.error instanceof Error ? end.error : undefined;
}

function deliveryOf(slice: TaskSlice, id: string): DeliveryEvent {
  const { name, tags } = slice.pool.queue;
  const { serialKey: groupKey, attempt } = slice;
  return { name, tags, batchId: id, groupKey, size: 1, attempt };
}
