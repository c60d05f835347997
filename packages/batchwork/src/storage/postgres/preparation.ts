/** What `beforeFlush` made of a batch, as the schema's function takes it. */
import type { Lease } from "../../core/lease.ts";
import type { Member } from "../../core/members.ts";
import type { ItemResult } from "../../core/results.ts";
import type { PreparedPart } from "../preparation.ts";
import type { Database } from "./database.ts";
import { resultsJson } from "./results.ts";

const PREPARE = "SELECT ok, meta FROM @.prepare_batch($1, $2, $3, $4, $5, $6, $7, $8)";

/** Returns the members of the batch from now on; `null` when the lease is lost. */
export async function prepareBatch(
  database: Database,
  { batch, token }: Lease,
  parts: readonly PreparedPart[] | null,
  results: readonly ItemResult[] = [],
): Promise<readonly Member[] | null> {
  const rows = await database.rows(PREPARE, [
    batch,
    token,
    parts?.map(({ count }) => count) ?? null,
    parts?.reduce((sum, { bytes }) => sum + bytes, 0) ?? null,
    parts?.map(({ payload }) => payload) ?? null,
    parts?.flatMap(({ ids }) => ids.map((id) => id ?? "")) ?? null,
    results.length === 0 ? null : JSON.stringify(resultsJson(results)),
    database.at,
  ]);
  if (rows.length === 0) return null;
  return rows.map(({ ok, meta }) => memberOf(meta as string, ok as boolean));
}

/** A member as the schema's functions write it. */
export function memberOf(meta: string, whole: boolean): Member {
  const [chunk, from, count, indices, ids] = JSON.parse(meta) as [
    number,
    number,
    number,
    readonly number[] | null,
    readonly string[] | null,
  ];
  const member = { chunk, items: indices ?? { from, count }, whole };
  return ids === null ? member : { ...member, ids };
}
