/** How each part of a promotion is written, and read back to be compared. */
import {
  READ_POOLS,
  READ_SLICES,
  READ_TASKS,
  WRITE_POOLS,
  WRITE_SLICES,
  WRITE_TASKS,
} from "./promote-tasks.ts";
import { promotedPool, promotedSlice, promotedTasks } from "../promoted-tasks.ts";
import type { PromotedMember, PromotionPart, PromotionRows } from "../promotion.ts";

type Row = Readonly<Record<string, unknown>>;

/** How a part is kept. */
interface Keeping<P extends PromotionPart> {
  /** Statements, one after the other. `$1`: the rows as JSON; `$2`: storage time. */
  readonly write: readonly string[];
  readonly read: string;
  readonly row: (row: Row, now: number) => PromotionRows[P];
}

/** Makes the groups of rows that need one. */
const MAKE_GROUPS = `INSERT INTO @.groups (queue, name)
  SELECT DISTINCT q.id, r."group"
  FROM json_to_recordset($1) AS r (queue text, "group" text, "from" int)
  JOIN @.queues AS q ON q.name = r.queue
  WHERE r."from" IS DISTINCT FROM 0 AND $2::bigint IS NOT NULL
  ON CONFLICT DO NOTHING`;

export const KEEPINGS: { readonly [P in PromotionPart]: Keeping<P> } = {
  queues: {
    write: [
      `INSERT INTO @.queues (name, paused, notify)
        SELECT r.name, r.paused, r.notify
        FROM json_to_recordset($1) AS r (name text, paused boolean, notify boolean)
        WHERE $2::bigint IS NOT NULL
        ON CONFLICT (name) DO UPDATE SET paused = excluded.paused, notify = excluded.notify`,
    ],
    read: "SELECT name, paused, notify FROM @.queues",
    row: ({ name, paused, notify }) => {
      return { name: name as string, paused: paused as boolean, notify: notify as boolean };
    },
  },
  payloads: {
    write: [
      `INSERT INTO @.payloads (chunk, count, live, data)
        SELECT r.chunk, r.count, r.live, r.data
        FROM json_to_recordset($1) AS r (chunk bigint, count int, live int, data text)
        WHERE $2::bigint IS NOT NULL`,
    ],
    read: "SELECT chunk, count, live, data FROM @.payloads",
    row: (row) => {
      const { chunk, count, live, data } = row as unknown as PromotionRows["payloads"];
      return { chunk, count, live, data };
    },
  },
  waiting: {
    write: [
      MAKE_GROUPS,
      // Whole chunks wait as if they had been appended just now.
      `INSERT INTO @.inbox (queue, chunk, grp, count, bytes, due_at)
        SELECT q.id, r.chunk, r."group", r.count, r.bytes, $2::bigint + r."dueInMs"
        FROM json_to_recordset($1) AS r (chunk bigint, queue text, "group" text, "from" int,
          count int, bytes int, "dueInMs" bigint)
        JOIN @.queues AS q ON q.name = r.queue
        WHERE r."from" = 0`,
      `INSERT INTO @.waiting (grp, chunk, from_index, count, bytes, due_at)
        SELECT g.id, r.chunk, r."from", r.count, r.bytes, $2::bigint + r."dueInMs"
        FROM json_to_recordset($1) AS r (chunk bigint, queue text, "group" text, "from" int,
          count int, bytes int, "dueInMs" bigint)
        JOIN @.queues AS q ON q.name = r.queue
        JOIN @.groups AS g ON g.queue = q.id AND g.name = r."group"
        WHERE r."from" > 0`,
    ],
    read: `SELECT i.chunk, q.name AS queue, i.grp AS "group", 0 AS "from", i.count, i.bytes,
        i.due_at
      FROM @.inbox AS i JOIN @.queues AS q ON q.id = i.queue
      UNION ALL
      SELECT w.chunk, q.name, g.name, w.from_index, w.count, w.bytes, w.due_at
      FROM @.waiting AS w JOIN @.groups AS g ON g.id = w.grp JOIN @.queues AS q ON q.id = g.queue`,
    row: (row, now) => {
      const { chunk, queue, group, from, count, bytes } =
        row as unknown as PromotionRows["waiting"];
      const dueInMs = (row["due_at"] as number) - now;
      return { chunk, queue, group, from, count, bytes, dueInMs };
    },
  },
  batches: {
    write: [
      MAKE_GROUPS,
      `INSERT INTO @.batches (id, queue, grp, state, token, settled, attempt, run_at, count, bytes,
          reason, parent, root, first_chunk, prepared, suspect, crashes, sealed_at, error)
        OVERRIDING SYSTEM VALUE
        SELECT r.id, q.id, g.id, 'ready', r.token, r.settled, r.attempt, $2::bigint + r."runInMs",
          r.count, r.bytes, r.reason, r.parent, r.root, r."firstChunk", r.prepared, r.suspect,
          r.crashes, r."sealedAt", r.error
        FROM json_to_recordset($1) AS r (id bigint, queue text, "group" text, token int,
          settled int, attempt int, "runInMs" bigint, count int, bytes bigint, reason text,
          parent bigint, root bigint, "firstChunk" bigint, prepared boolean, suspect boolean,
          crashes int, "sealedAt" bigint, error text)
        JOIN @.queues AS q ON q.name = r.queue
        JOIN @.groups AS g ON g.queue = q.id AND g.name = r."group"`,
      `INSERT INTO @.members (batch, place, chunk, from_index, count, indices, ids)
        SELECT r.id, m.place, (m.value->>0)::bigint, (m.value->>1)::int, (m.value->>2)::int,
          CASE WHEN json_typeof(m.value->3) = 'array'
            THEN ARRAY(SELECT i::int FROM json_array_elements_text(m.value->3) AS i) END,
          CASE WHEN json_typeof(m.value->4) = 'array'
            THEN ARRAY(SELECT i FROM json_array_elements_text(m.value->4) AS i) END
        FROM json_to_recordset($1) AS r (id bigint, members json),
          json_array_elements(r.members) WITH ORDINALITY AS m (value, place)
        WHERE $2::bigint IS NOT NULL`,
    ],
    read: `SELECT b.id, q.name AS queue, g.name AS "group", b.token, b.settled, b.attempt,
        b.run_at, b.count, b.bytes, b.reason, b.parent, b.root, b.first_chunk, b.prepared,
        b.suspect, b.crashes, b.sealed_at, b.error, (
          SELECT json_agg(json_build_array(m.chunk, m.from_index, m.count, m.indices, m.ids)
            ORDER BY m.place)
          FROM @.members AS m WHERE m.batch = b.id) AS members
      FROM @.batches AS b JOIN @.groups AS g ON g.id = b.grp JOIN @.queues AS q ON q.id = b.queue`,
    row: (row, now) => {
      const found = row as unknown as PromotionRows["batches"];
      return {
        id: found.id,
        queue: found.queue,
        group: found.group,
        token: found.token,
        settled: found.settled,
        attempt: found.attempt,
        runInMs: (row["run_at"] as number) - now,
        count: found.count,
        bytes: found.bytes,
        reason: found.reason,
        parent: found.parent,
        root: found.root,
        firstChunk: row["first_chunk"] as number,
        prepared: found.prepared,
        suspect: found.suspect,
        crashes: found.crashes,
        sealedAt: row["sealed_at"] as number,
        error: found.error,
        members: JSON.parse((row["members"] as string | null) ?? "[]") as PromotedMember[],
      };
    },
  },
  letters: {
    write: [
      `INSERT INTO @.dead (id, queue, grp, item, item_id, error, attempts, crashes, batch, root,
          died_at, notice_at)
        OVERRIDING SYSTEM VALUE
        SELECT r.id, q.id, r."group", r.item, r."itemId", r.error, r.attempts, r.crashes, r.batch,
          r.root, r."diedAt", $2::bigint + r."noticeInMs"
        FROM json_to_recordset($1) AS r (id bigint, queue text, "group" text, item text,
          "itemId" text, error text, attempts int, crashes int, batch bigint, root bigint,
          "diedAt" bigint, "noticeInMs" bigint)
        JOIN @.queues AS q ON q.name = r.queue`,
    ],
    read: `SELECT d.id, q.name AS queue, d.grp AS "group", d.item, d.item_id, d.error, d.attempts,
        d.crashes, d.batch, d.root, d.died_at, d.notice_at
      FROM @.dead AS d JOIN @.queues AS q ON q.id = d.queue`,
    row: (row, now) => {
      const found = row as unknown as PromotionRows["letters"];
      const noticeAt = row["notice_at"] as number | null;
      return {
        id: found.id,
        queue: found.queue,
        group: found.group,
        item: found.item,
        itemId: row["item_id"] as string,
        error: found.error,
        attempts: found.attempts,
        crashes: found.crashes,
        batch: found.batch,
        root: found.root,
        diedAt: row["died_at"] as number,
        noticeInMs: noticeAt === null ? null : noticeAt - now,
      };
    },
  },
  keys: {
    write: [
      `INSERT INTO @.keys (queue, key, chunk, idx, digest, ttl_ms, expires_at)
        SELECT q.id, r.key, r.chunk, r.index, r.digest, r."ttlMs", $2::bigint + r."expiresInMs"
        FROM json_to_recordset($1) AS r (queue text, key text, chunk bigint, index int,
          digest text, "ttlMs" bigint, "expiresInMs" bigint)
        JOIN @.queues AS q ON q.name = r.queue`,
    ],
    read: `SELECT q.name AS queue, k.key, k.chunk, k.idx, k.digest, k.ttl_ms, k.expires_at
      FROM @.keys AS k JOIN @.queues AS q ON q.id = k.queue`,
    row: (row, now) => {
      const { queue, key, chunk, digest } = row as unknown as PromotionRows["keys"];
      const expiresAt = row["expires_at"] as number | null;
      return {
        queue,
        key,
        chunk,
        index: row["idx"] as number,
        digest,
        ttlMs: row["ttl_ms"] as number | null,
        expiresInMs: expiresAt === null ? null : expiresAt - now,
      };
    },
  },
  pools: { write: [WRITE_POOLS], read: READ_POOLS, row: promotedPool },
  slices: { write: [WRITE_SLICES], read: READ_SLICES, row: promotedSlice },
  tasks: { write: [WRITE_TASKS], read: READ_TASKS, row: promotedTasks },
  results: {
    write: [
      `INSERT INTO @.results (chunk, idx, queue, kind, value, error, ended_at, expires_at)
        SELECT r.chunk, r.index, q.id, r.kind, r.value, r.error, r."endedAt",
          $2::bigint + r."expiresInMs"
        FROM json_to_recordset($1) AS r (queue text, chunk bigint, index int, kind text,
          value text, error text, "endedAt" bigint, "expiresInMs" bigint)
        JOIN @.queues AS q ON q.name = r.queue`,
    ],
    read: `SELECT q.name AS queue, r.chunk, r.idx, r.kind, r.value, r.error, r.ended_at,
        r.expires_at
      FROM @.results AS r JOIN @.queues AS q ON q.id = r.queue`,
    row: (row, now) => {
      const { queue, chunk, kind, value, error } = row as unknown as PromotionRows["results"];
      const expiresAt = row["expires_at"] as number | null;
      return {
        queue,
        chunk,
        index: row["idx"] as number,
        kind,
        value,
        error,
        endedAt: row["ended_at"] as number,
        expiresInMs: expiresAt === null ? null : expiresAt - now,
      };
    },
  },
};

/**
 * Once everything is written: what the rows of groups say of batches and waiting items. A claim
 * looks at once, and works out by itself when it has to look again.
 */
export const COMPLETE = ["SELECT @.make_states()"];
