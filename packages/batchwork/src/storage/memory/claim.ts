/** Claiming: who is next, and what its batch holds. */
import { fitCount, type BatchCaps, type FlushReason } from "../../core/flush.ts";
import { compact, type Member } from "../../core/members.ts";
import type { ClaimedBatch, QueueClaim } from "../storage.ts";
import { Batch } from "./batch.ts";
import type { MemoryData } from "./data.ts";
import { releaseKeys } from "./dedup.ts";
import type { Group } from "./group.ts";
import { goesBefore } from "./heap.ts";
import { pick, unsealedSizes } from "./payload.ts";
import type { Queue } from "./queue.ts";
import { sizeOf, type Chunk } from "./waiting.ts";

/** A suspect that may start now, of these queues; the one that has waited longest. */
export function dueSuspect(queues: readonly Queue[], now: number): Batch | null {
  let oldest: Batch | null = null;
  for (const queue of queues) {
    if (queue.paused || queue.room(now) === 0) continue;
    for (const batch of queue.suspects) {
      if (batch.at > now || batch.content.group.active >= queue.caps.groupConcurrency) continue;
      if (oldest === null || goesBefore(batch, oldest)) oldest = batch;
    }
  }
  return oldest;
}

/** Claims from one queue until nothing is left or its limit is reached. Returns the rest of it. */
export function claimQueue(
  data: MemoryData,
  claim: QueueClaim,
  incarnation: number,
  now: number,
  claimed: ClaimedBatch[],
): number {
  const queue = data.queue(claim.queue);
  const most = Math.min(claim.limit, queue.room(now));
  let free = most;
  while (free > 0) {
    const turn = queue.retries.peek();
    if (turn === undefined || turn.at > now) break;
    claimed.push(claimBatch(turn.group.ready.peek() as Batch, incarnation, now));
    free--;
  }
  while (free > 0) {
    const turn = queue.seals.peek();
    if (turn === undefined || turn.at > now) break;
    claimed.push(claimBatch(seal(data, turn.group, now), incarnation, now));
    free--;
  }
  return claim.limit - (most - free);
}

/** Leases a batch to an incarnation. */
export function claimBatch(batch: Batch, incarnation: number, now: number): ClaimedBatch {
  const { group, members, chunks, count, bytes, reason, sealedAt } = batch.content;
  batch.lease(incarnation, now);
  group.served(now);
  if (group.queue.throttle !== null) group.queue.deliveries.note(now);
  return {
    batch: batch.id,
    token: batch.token,
    queue: group.queue.id,
    group: group.name,
    attempt: batch.attempt,
    count,
    bytes,
    members,
    payloads: members.map((member, n) => pick(chunks[n] as Chunk, member.items)),
    reason,
    parentId: batch.parentId,
    rootId: batch.rootId,
    sealedAt,
    alone: batch.record.suspect,
    prepared: batch.prepared,
    left: group.items,
  };
}

/** Fixes the membership of the group's next batch. */
function seal(data: MemoryData, group: Group, now: number): Batch {
  // Only groups that are due have their turn by now.
  const reason = group.reason(now) as FlushReason;
  const { members, chunks, count, bytes } = takeItems(group, group.queue.caps);
  const content = {
    group,
    members,
    chunks,
    count,
    bytes,
    reason,
    sealedAt: now,
    firstChunk: (chunks[0] as Chunk).id,
  };
  const batch = new Batch(++data.lastBatch, content, null);
  data.batches.set(batch.id, batch);
  return batch;
}

interface Taken {
  readonly members: Member[];
  readonly chunks: Chunk[];
  count: number;
  bytes: number;
}

/** Takes as many items off the front of the group as the caps allow. */
function takeItems(group: Group, caps: BatchCaps): Taken {
  const { waiting } = group;
  const taken: Taken = { members: [], chunks: [], count: 0, bytes: 0 };
  while (taken.count < caps.maxSize) {
    const chunk = waiting.first;
    if (chunk === undefined) break;
    const from = chunk.taken;
    const left = sizeOf(chunk) - from;
    const room = {
      items: caps.maxSize - taken.count,
      bytes: caps.maxBytes - taken.bytes,
    };
    let count = left;
    let bytes = chunk.bytes - chunk.takenBytes;
    if (chunk.bytes === 0) {
      // References that nobody measured: only their number counts.
      count = Math.min(left, room.items);
    } else if (count > room.items || bytes > room.bytes) {
      // Items are looked at one by one only where a chunk does not fit as it is.
      const sizes = unsealedSizes(chunk);
      count = fitCount(sizes, room, taken.count === 0);
      if (count === 0) break;
      if (count < left) bytes = sum(sizes, count);
    }
    waiting.take(count, bytes);
    const { kept } = chunk;
    const items = kept === null ? { from, count } : compact(kept.slice(from, from + count));
    const member = { chunk: chunk.id, items, whole: count === chunk.count };
    releaseKeys(group, chunk, member);
    taken.members.push(member);
    taken.chunks.push(chunk);
    taken.count += count;
    taken.bytes += bytes;
  }
  return taken;
}

function sum(sizes: readonly number[], count: number): number {
  let total = 0;
  for (let n = 0; n < count; n++) total += sizes[n] as number;
  return total;
}
