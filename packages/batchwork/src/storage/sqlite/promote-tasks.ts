/** What becomes of the rows of pools, for `promote`. */
import type { PromotionRows } from "../promotion.ts";
import type { SqliteValue } from "./handle.ts";

type Row = Readonly<Record<string, SqliteValue>>;

export function poolRow(row: Row): PromotionRows["pools"] {
  return {
    queue: row["queue"] as string,
    callbacks: row["callbacks"] as string | null,
    resultTtlMs: row["result_ttl_ms"] as number | null,
    parallelism: row["parallelism"] as number | null,
  };
}

export function sliceRow(now: number, row: Row): PromotionRows["slices"] {
  return {
    queue: row["queue"] as string,
    group: row["grp"] as string,
    chunk: row["chunk"] as number,
    from: row["first"] as number,
    count: row["count"] as number,
    indices: listOf(row),
    attempt: row["attempt"] as number,
    runInMs: (row["run_at"] as number) - now,
    company: row["company"] as number | null,
    crashes: row["crashes"] as number,
  };
}

/** None for what is kept no longer. */
export function taskRows(now: number, row: Row): PromotionRows["tasks"][] {
  const expiresAt = row["expires_at"] as number | null;
  if (expiresAt !== null && expiresAt <= now) return [];
  const ended = {
    queue: row["queue"] as string,
    chunk: row["chunk"] as number,
    from: row["first"] as number,
    ended: row["count"] as number,
    indices: listOf(row),
    kind: row["kind"] as string,
    data: row["data"] as string | null,
    error: row["error"] as string | null,
    endedAt: row["ended_at"] as number,
    expiresInMs: expiresAt === null ? null : expiresAt - now,
  };
  return [ended];
}

function listOf(row: Row): readonly number[] | null {
  const list = row["list"] as string | null;
  return list === null ? null : (JSON.parse(list) as number[]);
}
