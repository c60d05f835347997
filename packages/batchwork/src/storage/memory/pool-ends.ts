/** What is kept and told when tasks end. */
import { splitItems, joinItems } from "../../core/codec.ts";
import { endedText, type EndedTask } from "../../core/ended-task.ts";
import type { StoredError } from "../../core/errors.ts";
import { compact, itemId } from "../../core/members.ts";
import { callbackChunks } from "../callback-chunks.ts";
import type { DeadTask } from "../pools.ts";
import type { Payload } from "../storage.ts";
import { commitAppend, prepare } from "./append.ts";
import type { MemoryData } from "./data.ts";
import { memberBytes, pick } from "./payload.ts";
import type { Pool } from "./pool.ts";
import type { Slice } from "./slice.ts";
import type { TaskEnd } from "./task-results.ts";

/** Where and when tasks end. */
export interface Scene {
  readonly data: MemoryData;
  readonly now: number;
}

export function keepEnd(
  { now }: Scene,
  { origin }: Slice,
  indices: readonly number[],
  end: TaskEnd,
): void {
  const { pool, chunk } = origin;
  pool.results.keep(chunk.id, indices, end, { now, ttlMs: pool.resultTtlMs });
}

/** Tasks are cancelled: their callbacks are told what they were. */
export function cancelTasks(scene: Scene, slice: Slice, indices: readonly number[]): void {
  keepEnd(scene, slice, indices, { kind: "canceled", values: null, error: null });
  tellEnded(scene, slice, indices, { kind: "canceled", error: null });
  endTaskKeys(scene, slice, indices);
}

/** Tasks killed their process once too often. */
export function killTasks(scene: Scene, slice: Slice, error: StoredError): void {
  const { indices } = slice;
  const dead = indices.map((index) => ({ index, error }));
  buryTasks(scene, slice, dead, slice.attempt - 1);
  tellEnded(scene, slice, indices, { kind: "failed", error });
}

/** Makes dead letters of tasks, and keeps what they failed with. */
export function buryTasks(
  scene: Scene,
  slice: Slice,
  dead: readonly DeadTask[],
  attempts: number,
): void {
  const { data, now } = scene;
  const { pool, chunk, lane } = slice.origin;
  for (const { index, error } of dead) {
    const items = { from: index, count: 1 };
    const row = {
      id: ++data.lastDead,
      queue: pool.queue,
      group: lane,
      itemId: itemId(chunk.id, index),
      payload: pick(chunk, items),
      error,
      attempts,
      crashes: slice.crashes,
      batch: slice.id,
      rootId: slice.id,
      diedAt: now,
    };
    const bytes = memberBytes(chunk, { chunk: chunk.id, items, whole: chunk.count === 1 });
    const key = chunk.keys?.[index] ?? null;
    data.queue(pool.queue).dead.add({ row, key, bytes, tellAt: now });
    keepEnd(scene, slice, [index], { kind: "failed", values: null, error });
  }
}

/** Appends items for the queue that is told. */
export function tell({ data, now }: Scene, { callbacks }: Pool, payload: Payload): void {
  if (callbacks === null) return;
  commitAppend(prepare(data, callbackChunks(callbacks, payload), now), now);
}

/** Tasks are over: they are pending no longer. */
export function freeTasks({ data }: Scene, { origin }: Slice, tasks: number): void {
  const { pool, chunk } = origin;
  data.queue(pool.queue).pending.remove(tasks, (chunk.bytes * tasks) / chunk.count);
}

/** Ended tasks hold their idempotency keys for a while only. Dead letters keep them. */
export function endTaskKeys(
  { data, now }: Scene,
  { origin }: Slice,
  indices: readonly number[],
): void {
  const { keys } = origin.chunk;
  if (keys === null) return;
  for (const index of indices) {
    const record = keys[index] ?? null;
    if (record !== null) data.queue(origin.pool.queue).keys.ended(record, now);
  }
}

function tellEnded(
  scene: Scene,
  { origin }: Slice,
  indices: readonly number[],
  { kind, error }: Pick<EndedTask, "kind" | "error">,
): void {
  const { pool, chunk } = origin;
  if (pool.callbacks === null || indices.length === 0) return;
  const payload = pick(chunk, compact(indices));
  const tasks: readonly unknown[] = typeof payload === "string" ? splitItems(payload) : payload;
  const ended = tasks.map((task, n): EndedTask => {
    return { ended: itemId(chunk.id, indices[n] as number), kind, error, task };
  });
  tell(scene, pool, typeof payload === "string" ? joinItems(ended.map(endedText)) : ended);
}
