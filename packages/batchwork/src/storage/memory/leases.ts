/** Incarnations, and what becomes of their batches when they end. */
import { BatchworkError, type StoredError } from "../../core/errors.ts";
import { hasExpired, isDeadly, type Lease } from "../../core/lease.ts";
import type { Reaped } from "../storage.ts";
import type { Batch } from "./batch.ts";
import type { MemoryData } from "./data.ts";
import { absolveSlices, crashSlices, reconcileSlices } from "./pool-leases.ts";
import { bury } from "./dead.ts";
import { forgetLetters } from "./retention.ts";

/** Empty groups, keys and results that one reap forgets in each queue at most. */
const FORGET_MAX = 10_000;

export function enroll(data: MemoryData, leaseMs: number, now: number): number {
  const id = ++data.lastIncarnation;
  data.incarnations.set(id, now + leaseMs);
  return id;
}

export function heartbeat(
  data: MemoryData,
  incarnation: number,
  leaseMs: number,
  now: number,
): boolean {
  if (!data.incarnations.has(incarnation)) return false;
  data.incarnations.set(incarnation, now + leaseMs);
  return true;
}

export function reap(data: MemoryData, maxCrashes: number, now: number): Reaped {
  const incarnations: number[] = [];
  for (const [incarnation, expiresAt] of data.incarnations) {
    if (!hasExpired(expiresAt, now)) continue;
    data.incarnations.delete(incarnation);
    data.loops.crash(incarnation);
    incarnations.push(incarnation);
  }
  let released = 0;
  let dead = 0;
  for (const incarnation of incarnations) {
    for (const batch of heldBy(data, incarnation)) {
      batch.crash(now);
      if (isDeadly(batch.record, maxCrashes)) {
        dead += batch.content.count;
        buryAll(data, batch, now);
      } else {
        released++;
      }
      batch.content.group.requeue(now);
    }
    const slices = crashSlices({ data, now }, incarnation, maxCrashes);
    released += slices.released;
    dead += slices.dead;
  }
  for (const queue of data.queues) {
    queue.forgetIdle(FORGET_MAX);
    queue.keys.forget(now, FORGET_MAX);
    queue.results.forget(now, FORGET_MAX);
    queue.pool?.results.forget(now, FORGET_MAX);
    queue.finished.forget(now, FORGET_MAX);
    forgetLetters(queue, now, FORGET_MAX);
  }
  let nextAt = Number.POSITIVE_INFINITY;
  for (const expiresAt of data.incarnations.values()) nextAt = Math.min(nextAt, expiresAt);
  const nextInMs = data.incarnations.size === 0 ? null : nextAt - now;
  return { incarnations, released, dead, nextInMs };
}

export function absolve(data: MemoryData, incarnation: number, now: number): void {
  for (const batch of data.batches.values()) {
    if (batch.state !== "ready" || batch.heldAgainst?.incarnation !== incarnation) continue;
    batch.forgive();
    batch.content.group.requeue(now);
  }
  absolveSlices({ data, now }, incarnation);
}

/** Releases what the incarnation holds unknowingly; returns what it only believes to hold. */
export function reconcile(
  data: MemoryData,
  incarnation: number,
  known: readonly Lease[],
  now: number,
): Lease[] {
  const tokens = new Map(known.map(({ batch, token }) => [batch, token]));
  for (const batch of heldBy(data, incarnation)) {
    if (tokens.get(batch.id) !== batch.token) giveBack(batch, now);
  }
  return known.filter((lease) => {
    const batch = data.batches.get(lease.batch);
    return !batch?.isLeasedUnder(lease) || batch.holding?.incarnation !== incarnation;
  });
}

export function release(data: MemoryData, leases: readonly Lease[], now: number): void {
  for (const lease of leases) {
    const batch = data.batches.get(lease.batch);
    if (batch?.isLeasedUnder(lease)) giveBack(batch, now);
  }
}

export function retire(data: MemoryData, incarnation: number, now: number): void {
  data.incarnations.delete(incarnation);
  data.loops.releaseAll(incarnation);
  reconcileSlices({ data, now }, incarnation, []);
  for (const batch of heldBy(data, incarnation)) giveBack(batch, now);
}

function giveBack(batch: Batch, now: number): void {
  batch.wait("release", now);
  batch.content.group.requeue(now);
}

/** Every item of the batch is dead: it has killed its process once too often. */
function buryAll(data: MemoryData, batch: Batch, now: number): void {
  const { crashes } = batch.record;
  const error = crashedError(crashes);
  const dead = Array.from({ length: batch.content.count }, (_, position) => ({
    position,
    error,
  }));
  bury(data, batch, dead, batch.attempt - 1, now);
  batch.finish();
  batch.content.group.queue.finished.add(batch, error, now);
  data.batches.delete(batch.id);
  const { group, count, bytes } = batch.content;
  group.queue.pending.remove(count, bytes);
}

/** Without a stack: it would show this file, where nothing is wrong. */
function crashedError(crashes: number): StoredError {
  const message = `The process died ${crashes} times while it ran this batch alone.`;
  const { name, code } = new BatchworkError("CRASHED", message);
  return { name, message, code };
}

function heldBy(data: MemoryData, incarnation: number): Batch[] {
  const held: Batch[] = [];
  for (const batch of data.batches.values()) {
    if (batch.holding?.incarnation === incarnation) held.push(batch);
  }
  return held;
}
