/** What became of single items: kept for a while, for whoever waits for it. */
import type { StoredError } from "../../core/errors.ts";
import { knownPlaceOf } from "../../core/members.ts";
import type { ItemResult, ResultKind } from "../../core/results.ts";
import type { FoundResult } from "../results.ts";
import type { Database } from "./database.ts";

const FIND = "SELECT * FROM @.find_results($1, $2, $3, $4)";

/**
 * Results as JSON, for the schema's functions. Their errors are JSON text inside it: they may hold
 * characters that PostgreSQL's text cannot.
 */
export function resultsJson(results: readonly ItemResult[]): unknown[] {
  return results.map(({ id, kind, value, error, ttlMs }) => ({
    id,
    kind,
    value,
    error: error === null ? null : JSON.stringify(error),
    ttlMs: ttlMs === Number.POSITIVE_INFINITY ? null : ttlMs,
  }));
}

interface Row {
  readonly kind: ResultKind | null;
  readonly value: string | null;
  readonly error: string | null;
  readonly endedAt: number;
  readonly pending: boolean;
}

export async function findResults(
  database: Database,
  queue: number,
  ids: readonly string[],
): Promise<FoundResult[]> {
  // No chunk has the id 0.
  const places = ids.map((id) => knownPlaceOf(id) ?? { chunk: 0, index: 0 });
  const rows = await database.rows(FIND, [
    queue,
    places.map(({ chunk }) => chunk),
    places.map(({ index }) => index),
    database.at,
  ]);
  return (rows as unknown as readonly Row[]).map(found);
}

function found({ kind, value, error, endedAt, pending }: Row): FoundResult {
  if (kind === null) return { status: pending ? "pending" : "unknown" };
  const stored = error === null ? null : (JSON.parse(error) as StoredError);
  return { status: "finished", kind, value, error: stored, endedAt };
}
