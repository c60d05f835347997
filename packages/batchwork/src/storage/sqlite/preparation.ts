/** What `beforeFlush` made of a batch takes the place of its items. */
import type { Lease } from "../../core/lease.ts";
import {
  itemId,
  itemIds,
  packMembers,
  selectMembers,
  unpackMembers,
  type Member,
} from "../../core/members.ts";
import type { ItemResult } from "../../core/results.ts";
import type { AppendedChunk } from "../storage.ts";
import type { PreparedPart } from "../preparation.ts";
import type { BatchRow } from "./batches.ts";
import { freeMembers } from "./chunks.ts";
import { append } from "./intake.ts";
import { endKeys } from "./keys.ts";
import { keepResults } from "./results.ts";
import type { Transaction } from "./transaction.ts";

/** Returns the members of the batch from now on; `null` when the lease is lost. */
export function prepareBatch(
  tx: Transaction,
  { batch: id, token }: Lease,
  parts: readonly PreparedPart[] | null,
  results: readonly ItemResult[] = [],
): readonly Member[] | null {
  const row = tx.sql.batch.get(id) as BatchRow | undefined;
  if (row?.state !== "leased" || row.token !== token) return null;
  const members = unpackMembers(row.members as string);
  if (row.prepared === 1) return members;
  keepResults(tx, row.queue, results);
  const packed = row.members as string;
  if (parts === null) {
    tx.sql.prepareBatch.run(row.count, row.bytes, packed, id);
    return members;
  }
  const next = parts.map((part) => store(tx, row.queue, part));
  const kept = new Set(itemIds(next));
  if (row.keyed === 1) endKeys(tx, leftOut(members, kept));
  freeMembers(tx.sql, members);
  const count = parts.reduce((sum, part) => sum + part.count, 0);
  const bytes = parts.reduce((sum, part) => sum + part.bytes, 0);
  tx.sql.prepareBatch.run(count, bytes, packMembers(next), id);
  return next;
}

function store(
  tx: Transaction,
  queue: number,
  { count, bytes, payload, ids }: PreparedPart,
): Member {
  // No queue has this id: nobody counts or seals what a batch holds already.
  const chunk = { queue: -queue, group: "", count, bytes, payload, dueInMs: 0 };
  const [appended] = append(tx, [chunk]) as [AppendedChunk];
  const { id } = appended;
  return {
    chunk: id,
    items: { from: 0, count },
    whole: true,
    ids: ids.map((before, index) => before ?? itemId(id, index)),
  };
}

function leftOut(members: readonly Member[], kept: ReadonlySet<string>): Member[] {
  const positions: number[] = [];
  for (const [position, id] of itemIds(members).entries()) {
    if (!kept.has(id)) positions.push(position);
  }
  return selectMembers(members, positions);
}
