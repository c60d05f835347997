/** Batches that are over, and still kept. */
import type { StoredError } from "../../core/errors.ts";
import { groupName, storedGroup } from "../../core/group-name.ts";
import type { FinishedRow, HistoryQuery } from "../history.ts";
import type { Database } from "./database.ts";

// A group that was forgotten has no name any more.
const HISTORY = `SELECT b.id AS batch, b.parent AS "parentId", coalesce(b.root, b.id) AS "rootId",
    g.name AS grp, b.count, b.attempt, b.reason, b.sealed_at AS "sealedAt",
    b.claimed_at AS "claimedAt", b.finished_at AS "finishedAt", b.error,
    EXISTS (SELECT FROM @.kept AS k WHERE k.batch = b.id) AS kept
  FROM @.batches AS b LEFT JOIN @.groups AS g ON g.id = b.grp
  WHERE b.queue = $1 AND b.state = 'done' AND b.id < $2
    AND ($3::text IS NULL OR g.name = $3)
  ORDER BY b.id DESC LIMIT $4`;

export async function history(database: Database, query: HistoryQuery): Promise<FinishedRow[]> {
  const { queue, limit } = query;
  const before = query.before ?? Number.MAX_SAFE_INTEGER;
  const group = query.group === null ? null : storedGroup(query.group);
  const rows = await database.rows(HISTORY, [queue, before, group, limit]);
  return rows.map(({ grp, error, ...row }) => ({
    ...(row as unknown as FinishedRow),
    group: grp === null ? null : groupName(grp as string),
    error: error === null ? null : (JSON.parse(error as string) as StoredError),
  }));
}
