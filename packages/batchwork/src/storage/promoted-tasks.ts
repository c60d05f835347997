/**
 * What rows of pools are to a promotion: the same on both sides, since both databases read them
 * under the same names.
 */
import type { PromotionRows } from "./promotion.ts";

type Row = Readonly<Record<string, unknown>>;

export function promotedPool(row: Row): PromotionRows["pools"] {
  return {
    queue: row["queue"] as string,
    callbacks: row["callbacks"] as string | null,
    resultTtlMs: row["result_ttl_ms"] as number | null,
    parallelism: row["parallelism"] as number | null,
  };
}

export function promotedSlice(row: Row, now: number): PromotionRows["slices"] {
  return {
    queue: row["queue"] as string,
    group: row["lane"] as string,
    chunk: row["chunk"] as number,
    from: row["first_index"] as number,
    count: row["count"] as number,
    indices: indicesOf(row),
    attempt: row["attempt"] as number,
    runInMs: (row["run_at"] as number) - now,
    company: row["company"] as number | null,
    crashes: row["crashes"] as number,
  };
}

export function promotedTasks(row: Row, now: number): PromotionRows["tasks"] {
  const expiresAt = row["expires_at"] as number | null;
  return {
    queue: row["queue"] as string,
    chunk: row["chunk"] as number,
    from: row["first_index"] as number,
    ended: row["count"] as number,
    indices: indicesOf(row),
    kind: row["kind"] as string,
    data: row["data"] as string | null,
    error: row["error"] as string | null,
    endedAt: row["ended_at"] as number,
    expiresInMs: expiresAt === null ? null : expiresAt - now,
  };
}

function indicesOf(row: Row): readonly number[] | null {
  const list = row["indices"] as string | null;
  return list === null ? null : (JSON.parse(list) as number[]);
}
