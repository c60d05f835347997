/** What `beforeFlush` made of a batch takes the place of its items. */
import type { Lease } from "../../core/lease.ts";
import { itemId, itemIds, type Member } from "../../core/members.ts";
import type { ItemResult } from "../../core/results.ts";
import type { PreparedPart } from "../preparation.ts";
import type { Batch } from "./batch.ts";
import type { MemoryData } from "./data.ts";
import { recordsOf, type HeldRecord } from "./keys.ts";
import type { Chunk } from "./waiting.ts";

/** Returns the members of the batch from now on; `null` when the lease is lost. */
export function prepareBatch(
  data: MemoryData,
  lease: Lease,
  parts: readonly PreparedPart[] | null,
  results: readonly ItemResult[],
  now: number,
): readonly Member[] | null {
  const batch = data.batches.get(lease.batch);
  if (!batch?.isLeasedUnder(lease)) return null;
  if (batch.prepared) return batch.content.members;
  batch.prepared = true;
  batch.content.group.queue.results.keep(results, now);
  if (parts !== null) replaceItems(data, batch, parts, now);
  return batch.content.members;
}

function replaceItems(
  data: MemoryData,
  batch: Batch,
  parts: readonly PreparedPart[],
  now: number,
): void {
  const records = recordsById(batch);
  const members: Member[] = [];
  const chunks: Chunk[] = [];
  let count = 0;
  let bytes = 0;
  for (const part of parts) {
    const id = ++data.lastChunk;
    const ids = part.ids.map((before, index) => before ?? itemId(id, index));
    const keys = ids.map((one) => records.get(one) ?? null);
    for (const one of ids) records.delete(one);
    const { payload } = part;
    chunks.push({
      id,
      count: part.count,
      bytes: part.bytes,
      payload,
      dueAt: now,
      dedupKeys: null,
      kept: null,
      keys: keys.some((key) => key !== null) ? keys : null,
      taken: part.count,
      takenBytes: part.bytes,
    });
    members.push({ chunk: id, items: { from: 0, count: part.count }, whole: true, ids });
    count += part.count;
    bytes += part.bytes;
  }
  const { group } = batch.content;
  const { keys } = group.queue;
  for (const record of records.values()) keys.ended(record, now);
  group.queue.pending.remove(batch.content.count, batch.content.bytes);
  group.queue.pending.add(count, bytes);
  batch.content = { ...batch.content, members, chunks, count, bytes };
}

/** The keys that items of the batch hold, by the ids of the items. */
function recordsById(batch: Batch): Map<string, HeldRecord> {
  const byId = new Map<string, HeldRecord>();
  const ids = itemIds(batch.content.members);
  for (const [n, record] of recordsOf(batch).entries()) {
    if (record !== null) byId.set(ids[n] as string, record);
  }
  return byId;
}
