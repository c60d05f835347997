/** The end of an attempt, carried out under the batch's token. */
import type { Lease } from "../../core/lease.ts";
import { itemCount, selectMembers } from "../../core/members.ts";
import type { Child, Outcome, Split } from "../../core/settle.ts";
import { Batch } from "./batch.ts";
import type { MemoryData } from "./data.ts";
import { bury } from "./dead.ts";
import { endKeys } from "./keys.ts";
import { memberBytes } from "./payload.ts";
import { itemsToKeep } from "./retention.ts";
import type { Chunk } from "./waiting.ts";

/** True when the outcome counts: now, or because this very settlement was carried out before. */
export function settleBatch(
  data: MemoryData,
  lease: Lease,
  outcome: Outcome,
  now: number,
): boolean {
  const batch = data.batches.get(lease.batch);
  if (batch === undefined) return data.hasSettled(lease);
  if (!batch.isLeasedUnder(lease)) return batch.settledToken === lease.token;
  if (outcome.kind === "again") {
    batch.settledToken = lease.token;
    batch.attempt = outcome.attempt;
    batch.wait("retry", now + outcome.delayMs);
  } else {
    if (outcome.kind === "split") split(data, batch, outcome, now);
    endKeys(batch, outcome, now);
    const { queue } = batch.content.group;
    if (outcome.results !== undefined) queue.results.keep(outcome.results, now);
    batch.finish();
    const error = outcome.kind === "split" ? outcome.error : null;
    const items = outcome.kind === "done" && outcome.keep === true ? itemsToKeep(batch) : null;
    queue.finished.add(batch, error, now, items);
    data.batches.delete(batch.id);
    queue.pending.remove(batch.content.count, batch.content.bytes);
    data.rememberSettled(batch.id, lease.token);
  }
  batch.content.group.requeue(now);
  return true;
}

function split(data: MemoryData, batch: Batch, outcome: Split, now: number): void {
  for (const child of outcome.children) addChild(data, batch, child, now);
  bury(data, batch, outcome.dead, batch.attempt, now);
}

/** A new batch of some items of an old one, with a clean crash record: the handler did end. */
function addChild(data: MemoryData, parent: Batch, child: Child, now: number): void {
  const { group, reason } = parent.content;
  const members = selectMembers(parent.content.members, child.positions);
  const byId = new Map(parent.content.chunks.map((chunk) => [chunk.id, chunk]));
  const chunks = members.map((member) => byId.get(member.chunk) as Chunk);
  let bytes = 0;
  for (let n = 0; n < members.length; n++) {
    bytes += memberBytes(chunks[n] as Chunk, members[n] as (typeof members)[number]);
  }
  const count = itemCount(members);
  const content = {
    group,
    members,
    chunks,
    count,
    bytes,
    reason,
    sealedAt: now,
    firstChunk: parent.prepared ? parent.content.firstChunk : (chunks[0] as Chunk).id,
  };
  const batch = new Batch(++data.lastBatch, content, parent);
  batch.attempt = child.attempt;
  batch.waitFirst(now + child.delayMs);
  data.batches.set(batch.id, batch);
  group.queue.pending.add(count, bytes);
}
