/** What is left, what waits, what runs. */
import type { Outstanding, QueueCounts, RunningBatch } from "../storage.ts";
import type { Batch, Holding } from "./batch.ts";
import type { MemoryData } from "./data.ts";
import type { Group } from "./group.ts";
import type { Queue } from "./queue.ts";

/** Batches that `running` lists at most. */
const RUNNING_MAX = 1000;

export function makeDue(data: MemoryData, id: number, group: string | null, now: number): number {
  const queue = data.queue(id);
  const mark = data.lastChunk;
  if (!queue.paused) for (const one of groupsOf(queue, group)) one.flush(mark, now);
  return mark;
}

export function outstanding(data: MemoryData, query: Outstanding): number {
  const queue = data.queue(query.queue);
  let left = 0;
  for (const group of groupsOf(queue, query.group)) {
    if ((group.waiting.first?.id ?? Infinity) <= query.mark) left++;
  }
  for (const batch of data.batches.values()) {
    if (!isIn(batch, queue, query.group)) continue;
    const firstChunk = batch.content.firstChunk;
    if (firstChunk > query.mark) continue;
    // A child's items were attempted in their parent.
    const attempted = batch.attempt > 1 || batch.parentId !== null;
    if (query.until === "finished" || !attempted) left++;
  }
  return left;
}

export function counts(data: MemoryData, id: number, group: string | null): QueueCounts {
  const queue = data.queue(id);
  let waiting = 0;
  let groups = 0;
  let retrying = 0;
  let leased = 0;
  let dueAt = Number.POSITIVE_INFINITY;
  for (const one of groupsOf(queue, group)) {
    waiting += one.items;
    retrying += one.ready.size + one.suspects;
    leased += one.active;
    if (one.items === 0) continue;
    groups++;
    dueAt = Math.min(dueAt, one.dueAt);
  }
  return {
    paused: queue.paused,
    waiting,
    groups,
    retrying,
    leased,
    dead: queue.dead.count(group),
    dueAt: groups === 0 ? null : dueAt,
  };
}

export function running(data: MemoryData, id: number): RunningBatch[] {
  const queue = data.queue(id);
  const leased: (Batch & { readonly holding: Holding })[] = [];
  for (const batch of data.batches.values()) {
    if (batch.holding !== null && isIn(batch, queue, null)) {
      leased.push(batch as Batch & { readonly holding: Holding });
    }
  }
  leased.sort((a, b) => a.holding.claimedAt - b.holding.claimedAt || a.id - b.id);
  return leased.slice(0, RUNNING_MAX).map((batch) => ({
    batch: batch.id,
    token: batch.token,
    group: batch.content.group.name,
    count: batch.content.count,
    attempt: batch.attempt,
    incarnation: batch.holding.incarnation,
    claimedAt: batch.holding.claimedAt,
    percent: batch.percent,
    note: batch.note,
  }));
}

function groupsOf(queue: Queue, name: string | null): Iterable<Group> {
  if (name === null) return queue.groups.values();
  const group = queue.groups.get(name);
  return group === undefined ? [] : [group];
}

function isIn({ content: { group } }: Batch, queue: Queue, name: string | null): boolean {
  return group.queue === queue && (name === null || group.name === name);
}
