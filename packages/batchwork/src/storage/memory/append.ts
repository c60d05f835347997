/** Intake: nothing here looks at more than the group an item goes to. */
import type { AppendedChunk, NewChunk } from "../storage.ts";
import type { MemoryData } from "./data.ts";
import { holdKeys } from "./dedup.ts";
import { checkRoom } from "./pending.ts";
import type { Queue } from "./queue.ts";
import { sizeOf, type Chunk } from "./waiting.ts";

/** A chunk on its way into its group. */
export interface Prepared {
  readonly queue: Queue;
  readonly group: string;
  readonly chunk: Chunk;
}

/**
 * Reads everything and gives out the ids. Throws before anything is changed, or not at all.
 * `staged` is appended with it.
 */
export function prepare(
  data: MemoryData,
  chunks: readonly NewChunk[],
  now: number,
  staged: readonly Prepared[] = [],
): Prepared[] {
  checkRoom(data, chunks, staged);
  const prepared: Prepared[] = [];
  let id = data.lastChunk;
  for (const { id: reserved, queue, group, count, bytes, payload, dueInMs, ...more } of chunks) {
    const dueAt = now + dueInMs;
    const chunk = {
      id: reserved ?? ++id,
      count,
      bytes,
      payload,
      dueAt,
      keys: null,
      dedupKeys: more.dedupKeys ?? null,
      kept: null,
      taken: 0,
      takenBytes: 0,
    };
    prepared.push({ queue: data.queue(queue), group, chunk });
  }
  data.lastChunk = id;
  return prepared;
}

/** Puts prepared chunks where claims find them. */
export function commitAppend(prepared: readonly Prepared[], now: number): void {
  for (const { queue, group: name, chunk } of prepared) {
    if (queue.pool !== null) {
      queue.pending.add(chunk.count, chunk.bytes);
      queue.pool.append(name, chunk, now);
      continue;
    }
    const group = queue.group(name);
    if (!holdKeys(group, chunk)) continue;
    group.waiting.push(chunk);
    queue.pending.add(sizeOf(chunk), chunk.bytes);
    group.requeue(now);
  }
}

/** What `append` answers with. */
export function appended(prepared: readonly Prepared[]): AppendedChunk[] {
  return prepared.map(({ chunk }) => ({ id: chunk.id, dueAt: chunk.dueAt }));
}
