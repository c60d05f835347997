/**
 * Mistakes on purpose, made in the functions of the schema. Each must break what the real ones
 * keep, or the tests of it prove nothing.
 */
import type { Pool, PoolClient } from "pg";
import { expect, onTestFinished, test } from "vitest";

import { systemClock } from "../../../src/runtime/clock.ts";
import type { PostgresPool, PostgresQuery } from "../../../src/storage/postgres/client.ts";
import { postgres } from "../../../src/storage/postgres/index.ts";
import type { ClaimedBatch, Storage } from "../../../src/storage/storage.ts";
import { describePostgres, testDatabase } from "../../postgres/database.ts";
import { chunkOf, claimOf, itemsOf, LEASE_MS, numbers, opened, queueOf } from "./fixture.ts";

/** One function of the schema, and what is changed in its text. */
interface Change {
  readonly name: string;
  readonly replace: readonly (readonly [string, string])[];
}

/** What a group's claim would slice, as the statement that takes the lock sees it. */
const PEEK = `CREATE FUNCTION batchwork.peek(p_group bigint) RETURNS bigint
  LANGUAGE plpgsql STABLE AS $$
  BEGIN
    PERFORM set_config('mutant.slice', coalesce((
      SELECT json_agg(w ORDER BY w.chunk) FROM batchwork.waiting AS w WHERE w.grp = p_group
    )::text, '[]'), true);
    RETURN p_group;
  END $$`;

const SLICE = `json_populate_recordset(
  NULL::batchwork.waiting, current_setting('mutant.slice')::json) AS w`;

/** Lock, read and slice in one statement: what is read is older than the lock. */
const ONE_STATEMENT: readonly Change[] = [
  {
    name: "lock_next_groups",
    replace: [
      ["SELECT g.id FROM", "SELECT batchwork.peek(g.id) FROM"],
      ["FOR UPDATE OF g SKIP LOCKED", "FOR UPDATE OF g"],
    ],
  },
  { name: "seal", replace: [['bytes FROM "batchwork".waiting', `bytes FROM ${SLICE}`]] },
];

const ID_ONLY: readonly Change[] = [
  {
    name: "settle",
    replace: [["t.token = u.token AND t.state", "t.state"]],
  },
  { name: "settle_one", replace: [["AND b.token = p_token", ""]] },
];

describePostgres("a mutant of the schema's functions", () => {
  const { pool } = testDatabase();

  test("lock and slice in one statement put items into two batches, and that is noticed", async () => {
    const storage = await opened(pool);
    const claim = async (queue: string): Promise<unknown> => claimBehindAnother(storage, queue);
    // The database itself refuses the second batch; without that the items would be in both.
    expect(await claim("real")).toEqual([numbers(10, 20)]);
    await pool.query(PEEK);
    await mutate(ONE_STATEMENT);
    expect(await claim("mutant")).toMatchObject({ code: "STORAGE_FAILED" });
    await pool.query(`ALTER TABLE batchwork.members
      DROP CONSTRAINT members_chunk_from_index_key`);
    expect(await claim("mutant without the index")).toEqual([numbers(10, 10)]);
  });

  test("settling by id alone lets a zombie end its successor's run, and that is noticed", async () => {
    const storage = await opened(pool);
    expect(await settleAsZombie(storage, "fenced")).toEqual(["lost", "LEASE_LOST", 2]);
    await mutate(ID_ONLY);
    expect(await settleAsZombie(storage, "unfenced")).toEqual(["lost", "committed", 0]);
  });

  /** Replaces functions for the rest of the test. */
  async function mutate(changes: readonly Change[]): Promise<void> {
    for (const { name, replace } of changes) {
      const { rows } = await pool.query<{ readonly text: string }>(
        `SELECT pg_get_functiondef(oid) AS text FROM pg_proc
         WHERE pronamespace = 'batchwork'::regnamespace AND proname = $1`,
        [name],
      );
      expect(rows, `the function ${name}`).toHaveLength(1);
      const original = rows[0]?.text as string;
      let text = original;
      for (const [from, to] of replace) {
        expect(text, `the mutant of ${name} fits no more`).toContain(from);
        text = text.replaceAll(from, to);
      }
      await pool.query(text);
      onTestFinished(async () => {
        await pool.query(original);
      });
    }
  }

  /**
   * What a claim gets that had to wait for another's commit: its items, or why it failed. Of 30
   * items 0 to 9 are claimed, and the other takes 10 to 19.
   */
  async function claimBehindAnother(storage: Storage, name: string): Promise<unknown> {
    const queue = await queueOf(storage, name);
    const target = new Switch(pool);
    const first = await openedOn(target);
    const incarnations = [await first.enroll(LEASE_MS), await storage.enroll(LEASE_MS)];
    await storage.append([chunkOf(queue, numbers(30))]);
    await storage.exchange(claimOf(incarnations[1] as number, queue));
    const client = await pool.connect();
    await client.query("BEGIN ISOLATION LEVEL READ COMMITTED");
    target.client = client;
    await first.exchange(claimOf(incarnations[0] as number, queue));
    const second = storage.exchange(claimOf(incarnations[1] as number, queue)).then(
      ({ claimed }) => claimed.map(itemsOf),
      (error: unknown) => error,
    );
    await expect.poll(async () => lockWaits()).toBeGreaterThan(0);
    await client.query("COMMIT");
    target.client = undefined;
    client.release();
    return second;
  }

  /**
   * What a process is told that settles a batch which is another's by now, in both ways; and how
   * many of the two batches the other one still has.
   */
  async function settleAsZombie(storage: Storage, name: string): Promise<unknown[]> {
    const queue = await queueOf(storage, name);
    const [zombie, heir] = [await storage.enroll(LEASE_MS), await storage.enroll(LEASE_MS)];
    await storage.append([chunkOf(queue, numbers(20))]);
    const { claimed } = await storage.exchange(claimOf(zombie, queue, 2));
    const [one, other] = claimed as [ClaimedBatch, ClaimedBatch];
    const handOver = async (lease: ClaimedBatch): Promise<void> => {
      await storage.release([lease]);
      const again = await storage.exchange(claimOf(heir, queue));
      expect(again.claimed.map(({ batch }) => batch)).toEqual([lease.batch]);
    };
    const outcome = { kind: "done" } as const;
    await handOver(one);
    const { settled } = await storage.exchange({
      ...claimOf(zombie, queue, 0),
      settlements: [{ ...one, outcome }],
    });
    const transacted = await storage
      .transact({
        lease: other,
        run: async () => {
          await handOver(other);
          return "committed";
        },
        outcome: () => outcome,
      })
      .catch((error: unknown) => (error as { readonly code: string }).code);
    const { leased } = await storage.counts(queue, null);
    return [settled[0], transacted, leased];
  }

  async function openedOn(target: PostgresPool): Promise<Storage> {
    const storage = postgres({ pool: target });
    onTestFinished(async () => storage.close());
    await storage.open({ clock: systemClock });
    return storage;
  }

  async function lockWaits(): Promise<number> {
    const { rows } = await pool.query<{ readonly n: number }>(
      `SELECT count(*)::int AS n FROM pg_stat_activity
       WHERE wait_event_type = 'Lock' AND datname = current_database()`,
    );
    return rows[0]?.n ?? 0;
  }
});

/** A pool whose statements go to one connection for a while: into its open transaction. */
class Switch implements PostgresPool {
  client: PoolClient | undefined;
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  async query(query: PostgresQuery): ReturnType<PostgresPool["query"]> {
    return (this.client ?? this.#pool).query(query as never);
  }

  async connect(): ReturnType<PostgresPool["connect"]> {
    return this.#pool.connect();
  }
}
