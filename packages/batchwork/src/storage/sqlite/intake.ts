/** Appending: inserts, and nothing else. */
import { INLINE_PAYLOAD_BYTES_MAX } from "../../core/limits.ts";
import type { AppendedChunk, NewChunk } from "../storage.ts";
import { storedGroup } from "../../core/group-name.ts";
import { holdKeys } from "./dedup.ts";
import { checkRoom } from "./pending.ts";
import type { IntakeStatements } from "./prepared.ts";
import type { Transaction } from "./transaction.ts";

/** Inserts the chunks in the order given, so their ids ascend in it. */
export function append(
  { sql, now }: Transaction<IntakeStatements>,
  chunks: readonly NewChunk[],
): AppendedChunk[] {
  if (chunks.some(({ limit }) => limit !== undefined)) checkRoom(sql, chunks);
  return chunks.map((chunk) => {
    const { queue, group, count, bytes, payload, dueInMs } = chunk;
    const grp = storedGroup(group);
    const text = payload as string;
    const dueAt = now + dueInMs;
    // A character has at most three bytes; most have one, so this is the cheap side to err on.
    const inline = text.length <= INLINE_PAYLOAD_BYTES_MAX;
    const data = inline ? text : null;
    const { lastInsertRowid } = sql.insertChunk.run(queue, grp, count, bytes, count, dueAt, data);
    const id = Number(lastInsertRowid);
    if (!inline) sql.insertPayload.run(id, text);
    if (chunk.dedupKeys !== undefined) holdKeys(sql, id, grp, chunk);
    return { id, dueAt };
  });
}
