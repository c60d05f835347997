/** Giving the space of items back once they are done or dead. */
import { memberCount, type Member } from "../../core/members.ts";
import type { Statements } from "./prepared.ts";

/** Takes these items off their chunks, and deletes the chunks of which nothing is left. */
export function freeMembers(sql: Statements, members: readonly Member[]): void {
  const finished: number[] = [];
  for (const member of members) {
    if (member.whole || shrink(sql, member) === 0) finished.push(member.chunk);
  }
  const [first] = finished;
  if (first === undefined) return;
  if (finished.length === 1) {
    sql.deleteChunk.run(first);
    sql.deletePayload.run(first);
    return;
  }
  const ids = JSON.stringify(finished);
  sql.deleteChunks.run(ids);
  sql.deletePayloads.run(ids);
}

/** Returns how many items of the chunk are left. */
function shrink(sql: Statements, member: Member): number {
  const row = sql.shrinkChunk.get(memberCount(member), member.chunk);
  return (row as { readonly live: number } | undefined)?.live ?? 0;
}
