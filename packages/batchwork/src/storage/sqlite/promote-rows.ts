/** Everything unfinished in a SQLite database, row by row, for `promote`. */
import { pickText, splitItems } from "../../core/codec.ts";
import { isRun, memberCount, unpackMembers, type Member, type Run } from "../../core/members.ts";
import { promotedPool, promotedSlice, promotedTasks } from "../promoted-tasks.ts";
import type { PromotedMember, PromotionPart, PromotionRows } from "../promotion.ts";
import { waitingItems } from "./dedup.ts";
import { prepare, type SqliteHandle, type SqliteValue } from "./handle.ts";
import { chunkText, textBytes } from "./payloads.ts";
import type { Statements } from "./prepared.ts";
import {
  BATCHES,
  KEYS,
  LETTERS,
  PAYLOADS,
  POOLS,
  QUEUES,
  RESULTS,
  SLICES,
  TASKS,
  WAITING,
} from "./promote-statements.ts";

/** What the rows are read from, and storage time at which they are. */
export interface PromotionView {
  readonly handle: SqliteHandle;
  readonly sql: Statements;
  readonly now: number;
}

/** Rows read by one statement; the largest are 256 KiB each. */
const READ_ROWS = 20;

/** A page has at most so many rows, and ends with the row that exceeds so many characters. */
const PAGE_ROWS_MAX = 500;
const PAGE_SIZE_MAX = 1024 * 1024;

type Row = Readonly<Record<string, number | string | null>> & { readonly id: number };

/** How a part is read: its statement, and what a row of it becomes. */
interface Reading<P extends PromotionPart> {
  readonly sql: string;
  /** No row for what is not moved. */
  readonly rows: (view: PromotionView, row: Row) => readonly PromotionRows[P][];
  /** About how many characters the row takes. */
  readonly size: (row: PromotionRows[P]) => number;
}

const READINGS: { readonly [P in PromotionPart]: Reading<P> } = {
  queues: {
    sql: `${QUEUES} LIMIT ?`,
    rows: (_view, { name, paused, notify }) => {
      return [{ name: text(name), paused: paused === 1, notify: notify === 1 }];
    },
    size: ({ name }) => name.length,
  },
  payloads: {
    sql: PAYLOADS,
    rows: ({ sql }, { id, count, live, kept, data }) => {
      const items = chunkText(sql, id, data as string | null);
      const all = kept === null ? Number(count) : splitItems(items).length;
      return [{ chunk: id, count: all, live: Number(live), data: items }];
    },
    size: ({ data }) => data.length,
  },
  waiting: { sql: WAITING, rows: waitingRows, size: () => 100 },
  batches: {
    sql: BATCHES,
    rows: (view, row) => [batchRow(view, row)],
    size: ({ members }) => 40 * members.length,
  },
  letters: {
    sql: LETTERS,
    rows: (view, row) => [letterRow(view, row)],
    size: ({ item, error }) => item.length + error.length,
  },
  keys: { sql: KEYS, rows: keyRows, size: ({ key }) => key.length + 100 },
  pools: { sql: POOLS, rows: (_view, row) => [promotedPool(row)], size: () => 100 },
  slices: {
    sql: SLICES,
    rows: ({ now }, row) => [promotedSlice(row, now)],
    size: ({ indices }) => 100 + 4 * (indices?.length ?? 0),
  },
  tasks: {
    sql: TASKS,
    // What is kept no longer does not go along.
    rows: ({ now }, row) => {
      const ended = promotedTasks(row, now);
      return (ended.expiresInMs ?? 1) > 0 ? [ended] : [];
    },
    size: ({ data, indices }) => 100 + (data?.length ?? 0) + 4 * (indices?.length ?? 0),
  },
  results: {
    sql: RESULTS,
    rows: resultRows,
    size: ({ value, error }) => 100 + (value?.length ?? 0) + (error?.length ?? 0),
  },
};

/** All rows of a part in pages. */
export function* pagesOf<P extends PromotionPart>(
  view: PromotionView,
  part: P,
): Generator<readonly PromotionRows[P][]> {
  const { sql, rows: made, size } = READINGS[part];
  const statement = prepare(view.handle, sql);
  let page: PromotionRows[P][] = [];
  let pageSize = 0;
  let after = 0;
  for (;;) {
    const rows = statement.all(after, READ_ROWS) as Row[];
    for (const row of rows) {
      const next = made(view, row);
      page.push(...next);
      for (const one of next) pageSize += size(one);
      if (page.length < PAGE_ROWS_MAX && pageSize <= PAGE_SIZE_MAX) continue;
      yield page;
      page = [];
      pageSize = 0;
    }
    const last = rows.at(-1);
    if (last === undefined) break;
    after = last.id;
  }
  if (page.length > 0) yield page;
}

/** What of a chunk waits: all from an index on; where items were left out, runs of neighbours. */
function waitingRows({ sql, now }: PromotionView, row: Row): PromotionRows["waiting"][] {
  const total = Number(row["count"]);
  const skip = Number(row["skip"]);
  const kept = row["kept"] as string | null;
  const dueInMs = Number(row["due_at"]) - now;
  const cut = skip > 0 || kept !== null;
  const all = cut ? chunkText(sql, row.id, row["data"] as string | null) : "";
  const runs = runsOf(waitingItems({ count: total, kept }, skip, total - skip));
  return runs.map(({ from, count }) => ({
    chunk: row.id,
    queue: text(row["queue"]),
    group: text(row["grp"]),
    from,
    count,
    bytes: cut ? textBytes(pickText(all, { from, count }, -1), count) : Number(row["bytes"]),
    // Nobody waits for the flush any more, but what it made due stays due.
    dueInMs: row["flushed"] === 1 ? Math.min(dueInMs, 0) : dueInMs,
  }));
}

function runsOf(items: Run | readonly number[]): Run[] {
  if (isRun(items)) return [items];
  const runs: { from: number; count: number }[] = [];
  for (const index of items) {
    const last = runs.at(-1);
    if (last !== undefined && last.from + last.count === index) last.count++;
    else runs.push({ from: index, count: 1 });
  }
  return runs;
}

function batchRow({ now }: PromotionView, row: Row): PromotionRows["batches"] {
  return {
    id: row.id,
    queue: text(row["queue"]),
    group: text(row["grp"]),
    token: Number(row["token"]),
    settled: numberOrNull(row["settled"]),
    attempt: Number(row["attempt"]),
    runInMs: Number(row["run_at"]) - now,
    count: Number(row["count"]),
    bytes: numberOrNull(row["bytes"]),
    reason: text(row["reason"]),
    parent: numberOrNull(row["parent"]),
    root: numberOrNull(row["root"]),
    firstChunk: Number(row["first_chunk"]),
    prepared: row["prepared"] === 1,
    suspect: row["suspect"] === 1,
    crashes: Number(row["crashes"]),
    sealedAt: Number(row["sealed_at"]),
    error: row["error"] as string | null,
    members: unpackMembers(text(row["members"])).map(promotedMember),
  };
}

function promotedMember(member: Member): PromotedMember {
  const { chunk, items, ids = null } = member;
  if (isRun(items)) return [chunk, items.from, items.count, null, ids];
  return [chunk, items[0] as number, memberCount(member), items, ids];
}

function letterRow({ now }: PromotionView, row: Row): PromotionRows["letters"] {
  const noticeAt = numberOrNull(row["notice_at"]);
  return {
    id: row.id,
    queue: text(row["queue_name"]),
    group: text(row["grp"]),
    item: text(row["item"]),
    itemId: text(row["item_id"]),
    error: text(row["error"]),
    attempts: Number(row["attempts"]),
    crashes: Number(row["crashes"]),
    batch: Number(row["batch"]),
    root: Number(row["root"]),
    diedAt: Number(row["died_at"]),
    noticeInMs: noticeAt === null ? null : Math.max(0, noticeAt - now),
  };
}

function keyRows({ now }: PromotionView, row: Row): PromotionRows["keys"][] {
  const expiresAt = numberOrNull(row["expires_at"]);
  if (expiresAt !== null && expiresAt <= now) return [];
  const key = {
    queue: text(row["queue"]),
    key: text(row["key"]),
    chunk: row.id,
    index: Number(row["idx"]),
    digest: text(row["digest"]),
    ttlMs: numberOrNull(row["ttl_ms"]),
    expiresInMs: expiresAt === null ? null : expiresAt - now,
  };
  return [key];
}

function resultRows({ now }: PromotionView, row: Row): PromotionRows["results"][] {
  const expiresAt = numberOrNull(row["expires_at"]);
  if (expiresAt !== null && expiresAt <= now) return [];
  const result = {
    queue: text(row["queue"]),
    chunk: row.id,
    index: Number(row["idx"]),
    kind: text(row["kind"]),
    value: row["value"] as string | null,
    error: row["error"] as string | null,
    endedAt: Number(row["ended_at"]),
    expiresInMs: expiresAt === null ? null : expiresAt - now,
  };
  return [result];
}

function text(value: SqliteValue | undefined): string {
  return value as string;
}

function numberOrNull(value: SqliteValue | undefined): number | null {
  return value as number | null;
}
