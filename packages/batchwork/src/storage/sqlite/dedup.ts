/** Leaving out items of a group whose key another one of it holds. */
import { splitItems } from "../../core/codec.ts";
import { compact, indexAt, memberCount, type Member, type Run } from "../../core/members.ts";
import type { NewChunk } from "../storage.ts";
import type { IntakeStatements, Statements } from "./prepared.ts";

/** What of a chunk's items waits: its row says so where some were left out. */
export interface KeptItems {
  /** Items that were not left out. */
  readonly count: number;
  /** Their indices, as JSON; `null` for all. */
  readonly kept: string | null;
}

/** Has the items of a chunk that was just inserted hold their keys. */
export function holdKeys(sql: IntakeStatements, id: number, grp: string, chunk: NewChunk): void {
  const { queue, dedupKeys = [], payload } = chunk;
  const kept: number[] = [];
  for (const [index, key] of dedupKeys.entries()) {
    if (Number(sql.holdDedupKey.run(queue, grp, key, id, index).changes) === 1) kept.push(index);
  }
  if (kept.length === dedupKeys.length) {
    sql.markDedup.run(id);
  } else if (kept.length === 0) {
    sql.dropChunk.run(id);
    sql.dropPayload.run(id);
  } else {
    const texts = splitItems(payload as string);
    let bytes = 0;
    for (const index of kept) bytes += Buffer.byteLength(texts[index] as string);
    sql.keepSome.run(JSON.stringify(kept), kept.length, kept.length, bytes, id);
  }
}

/** Lets go of the keys of items that are sealed. */
export function releaseKeys(sql: Statements, member: Member): void {
  const last = indexAt(member, memberCount(member) - 1);
  sql.releaseDedupKeys.run(member.chunk, indexAt(member, 0), last);
}

/** The indices of `count` items of a chunk from the `from`-th on that was not left out. */
export function waitingItems(
  { kept }: KeptItems,
  from: number,
  count: number,
): Run | readonly number[] {
  if (kept === null) return { from, count };
  return compact((JSON.parse(kept) as number[]).slice(from, from + count));
}

/** How many items the text of a chunk holds, for `pickText`; -1 for more than any member names. */
export function textCount({ count, kept }: KeptItems): number {
  return kept === null ? count : -1;
}
