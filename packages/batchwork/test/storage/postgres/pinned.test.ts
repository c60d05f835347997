/** What the database cannot forget: snapshots that stay open, and transactions that commit late. */
import pg from "pg";
import { expect, onTestFinished, test } from "vitest";

import { systemClock } from "../../../src/runtime/clock.ts";
import type { PostgresPool, PostgresQuery } from "../../../src/storage/postgres/client.ts";
import { postgres } from "../../../src/storage/postgres/index.ts";
import type { Settlement, Storage } from "../../../src/storage/storage.ts";
import { describePostgres, testDatabase } from "../../postgres/database.ts";
import { chunkOf, claimOf, itemsOf, LEASE_MS, numbers, opened, queueOf } from "./fixture.ts";

/** Chunks of a round; each is a full batch. */
const ROUND = 50;
const LARGE_ROUND = 250;

describePostgres("what the database keeps", () => {
  const { pool, url } = testDatabase();

  test("an append that commits late is found, however many chunks went past meanwhile", async () => {
    const storage = await opened(pool);
    const queue = await queueOf(storage, "late");
    const incarnation = await storage.enroll(LEASE_MS);
    const client = await pool.connect();
    const late = ["late", "later"];
    await storage.append([chunkOf(queue, numbers(10))]);
    await client.query("BEGIN");
    await storage.appendWithin(client, [chunkOf(queue, [late[0]])]);
    // No transaction with a higher id has ended when this one looks.
    const first = await storage.exchange(claimOf(incarnation, queue));
    expect(first.claimed.flatMap(itemsOf)).toEqual(numbers(10));
    await work(storage, queue, incarnation, 20);
    await storage.appendWithin(client, [chunkOf(queue, [late[1]])]);
    await work(storage, queue, incarnation, 20);
    await client.query("COMMIT");
    client.release();
    const { claimed } = await storage.exchange(claimOf(incarnation, queue));
    expect(claimed.flatMap(itemsOf)).toEqual(late);
  });

  test("a news of a group that commits late is found as well", async () => {
    const storage = await opened(pool);
    const queue = await queueOf(storage, "late news");
    const incarnation = await storage.enroll(LEASE_MS);
    const limited = (limit: number): ReturnType<typeof claimOf> => {
      const { claims, ...request } = claimOf(incarnation, queue, limit);
      return { ...request, claims: claims.map((claim) => ({ ...claim, groupConcurrency: 1 })) };
    };
    await storage.append([chunkOf(queue, numbers(20), "held")]);
    const [held] = (await storage.exchange(limited(1))).claimed;
    const client = await pool.connect();
    await client.query("BEGIN");
    await client.query("SELECT batchwork.settle_one($1, $2, NULL, NULL)", [
      held?.batch,
      held?.token,
    ]);
    for (let round = 0; round < 20; round++) {
      await storage.append([chunkOf(queue, numbers(10), "other")]);
      const { claimed } = await storage.exchange(limited(5));
      expect(claimed.map(({ group }) => group)).toEqual(["other"]);
      await storage.exchange({ ...limited(0), settlements: claimed.map(done) });
    }
    await client.query("COMMIT");
    client.release();
    const { claimed } = await storage.exchange(limited(1));
    expect(claimed.map(({ group }) => group)).toEqual(["held"]);
  });

  test("a snapshot that stays open makes no claim walk over what is gone", async () => {
    const own = new pg.Pool({ connectionString: url, max: 4 });
    onTestFinished(async () => own.end());
    const pinning = await pool.connect();
    onTestFinished(() => pinning.release());
    await pinning.query("BEGIN ISOLATION LEVEL REPEATABLE READ");
    await pinning.query("SELECT count(*) FROM batchwork.queues");
    onTestFinished(async () => void (await pinning.query("ROLLBACK")));
    const recorder = new Recorder(own);
    const storage = postgres({ pool: recorder, notifications: false });
    onTestFinished(async () => storage.close());
    await storage.open({ clock: systemClock });
    const queue = await queueOf(storage, "pinned");
    const incarnation = await storage.enroll(LEASE_MS);
    await work(storage, queue, incarnation, 5);
    const before = await recorder.blocksOfLast();
    await work(storage, queue, incarnation, 80);
    const after = await recorder.blocksOfLast();
    const unmarked = await recorder.blocksOfLast("without its marks");
    expect(after).toBeLessThan(before + 30);
    expect(unmarked, "what there is to walk over").toBeGreaterThan(after + 60);
  });

  test("hot tables stay small over 20,000 batches", async () => {
    const storage = await opened(pool);
    const queue = await queueOf(storage, "bloat");
    const incarnation = await storage.enroll(LEASE_MS);
    const sizes: number[] = [];
    for (let part = 0; part < 4; part++) {
      await work(storage, queue, incarnation, 5000 / LARGE_ROUND, LARGE_ROUND);
      // What autovacuum does in its own time.
      for (const table of HOT) await pool.query(`VACUUM batchwork.${table}`);
      sizes.push(await sizeOf(pool));
    }
    // By the third part the last 10,000 finished batches are kept, and as many were deleted.
    expect(sizes.at(-1)).toBeLessThan((sizes[2] as number) * 1.2);
    expect(sizes.at(-1)).toBeLessThan(24 * 1024 * 1024);
  }, 120_000);

  test("the state of a group that has a backlog is written without touching an index", async () => {
    const own = new pg.Pool({ connectionString: url, max: 1 });
    const storage = postgres({ pool: own, schema: "hot", notifications: false });
    await storage.open({ clock: systemClock });
    const queue = await queueOf(storage, "hot");
    const incarnation = await storage.enroll(LEASE_MS);
    await storage.append(Array.from({ length: 200 }, () => chunkOf(queue, numbers(10))));
    for (let n = 0; n < 150; n++) await storage.exchange(claimOf(incarnation, queue));
    await storage.close();
    // The server hears of what a connection did when it ends, at the latest.
    await own.end();
    await expect.poll(async () => (await updates()).all).toBeGreaterThanOrEqual(150);
    const { all, hot } = await updates();
    expect(hot / all).toBeGreaterThan(0.9);
  });

  /** How often states were updated in the schema, and how often without touching an index. */
  async function updates(): Promise<{ readonly all: number; readonly hot: number }> {
    const { rows } = await pool.query<{ readonly all: number; readonly hot: number }>(
      `SELECT n_tup_upd::int AS all, n_tup_hot_upd::int AS hot
      FROM pg_stat_user_tables WHERE relid = 'hot.group_states'::regclass`,
    );
    return rows[0] ?? { all: 0, hot: 0 };
  }
});

const HOT = ["inbox", "waiting", "members", "batches", "group_states", "payloads"];

/** Bytes of the hot tables with their indexes and what is out of line. */
async function sizeOf(pool: pg.Pool): Promise<number> {
  const { rows } = await pool.query<{ readonly bytes: number }>(
    `SELECT sum(pg_total_relation_size(('batchwork.' || name)::regclass))::int AS bytes
    FROM unnest($1::text[]) AS name`,
    [HOT],
  );
  return rows[0]?.bytes ?? 0;
}

/** Appends, claims and settles rounds of full batches, until nothing of them is left. */
async function work(
  storage: Storage,
  queue: number,
  incarnation: number,
  rounds: number,
  size = ROUND,
): Promise<void> {
  let settlements: Settlement[] = [];
  for (let round = 0; round < rounds; round++) {
    await storage.append(Array.from({ length: size }, () => chunkOf(queue, numbers(10))));
    const { claimed } = await storage.exchange({
      ...claimOf(incarnation, queue, size),
      settlements,
    });
    expect(claimed).toHaveLength(size);
    settlements = claimed.map(done);
  }
  const last = await storage.exchange({ ...claimOf(incarnation, queue, size), settlements });
  expect(last.claimed).toEqual([]);
}

function done({ batch, token }: Pick<Settlement, "batch" | "token">): Settlement {
  return { batch, token, outcome: { kind: "done" } };
}

/** What `EXPLAIN` answers. */
interface Explained {
  readonly Plan: Readonly<Record<string, number>>;
}

/** Keeps the last call of `exchange`, to ask the server what such a call reads. */
class Recorder implements PostgresPool {
  #last: PostgresQuery | undefined;
  readonly #pool: pg.Pool;

  constructor(pool: pg.Pool) {
    this.#pool = pool;
  }

  async query(query: PostgresQuery): ReturnType<PostgresPool["query"]> {
    if (query.text.includes(".exchange(")) this.#last = query;
    return this.#pool.query(query as pg.QueryConfig);
  }

  async connect(): ReturnType<PostgresPool["connect"]> {
    return this.#pool.connect();
  }

  /** Blocks that the last call reads when it only claims. */
  async blocksOfLast(
    marks: "with its marks" | "without its marks" = "with its marks",
  ): Promise<number> {
    const { text, values } = this.#last as { readonly text: string; readonly values: unknown[] };
    const [claims, alone, at] = values.slice(4);
    const kept = JSON.parse(claims as string) as { readonly marks?: unknown }[];
    const given = marks === "with its marks" ? kept : kept.map(({ marks: _, ...claim }) => claim);
    const explained = await this.#pool.query(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${text}`, [
      values[0],
      [],
      [],
      [],
      JSON.stringify(given),
      alone,
      at,
    ]);
    const [row] = explained.rows as [{ readonly "QUERY PLAN": readonly [Explained] }];
    const { Plan: plan } = row["QUERY PLAN"][0];
    return (plan["Shared Hit Blocks"] as number) + (plan["Shared Read Blocks"] as number);
  }
}
