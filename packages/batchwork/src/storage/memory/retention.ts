/** What is kept of work that is over, and handing it over again. */
import type { Member } from "../../core/members.ts";
import { Batch } from "./batch.ts";
import type { MemoryData } from "./data.ts";
import { discard, joined } from "./dead.ts";
import type { KeptItems } from "./history.ts";
import { pick } from "./payload.ts";
import type { Queue } from "./queue.ts";
import type { Chunk } from "./waiting.ts";

/** The items of a batch, apart from their chunks. */
export function itemsToKeep(batch: Batch): KeptItems {
  const { id, rootId, prepared } = batch;
  const { group, count, bytes, reason, members, chunks } = batch.content;
  const payload = joined(members.map(({ items }, n) => pick(chunks[n] as Chunk, items)));
  return { id, rootId, prepared, group: group.name, count, bytes, reason, payload };
}

/** Puts kept items back as a new batch. Returns its id; `null` when they are not kept. */
export function replay(data: MemoryData, queue: Queue, batch: number, now: number): number | null {
  const kept = queue.finished.itemsOf(batch);
  if (kept === undefined) return null;
  const { count, bytes, payload, reason } = kept;
  const group = queue.group(kept.group);
  const chunk: Chunk = {
    id: ++data.lastChunk,
    count,
    bytes,
    payload,
    dueAt: now,
    keys: null,
    dedupKeys: null,
    kept: null,
    taken: count,
    takenBytes: bytes,
  };
  const member: Member = { chunk: chunk.id, items: { from: 0, count }, whole: true };
  const content = {
    group,
    members: [member],
    chunks: [chunk],
    count,
    bytes,
    reason,
    sealedAt: now,
    firstChunk: chunk.id,
  };
  const replayed = new Batch(++data.lastBatch, content, kept);
  replayed.waitFirst(now);
  data.batches.set(replayed.id, replayed);
  queue.pending.add(count, bytes);
  group.requeue(now);
  return replayed.id;
}

/** Forgets up to `most` letters that are not to be kept, as if somebody had discarded them. */
export function forgetLetters(queue: Queue, now: number, most: number): void {
  const retention = queue.definition?.settings.failed;
  if (retention === undefined || retention === null) return;
  const { count, ageMs } = retention;
  const beyond = queue.dead.beyond(count, now - ageMs, queue.notify).slice(0, most);
  if (beyond.length > 0) discard(queue, beyond, now);
}
