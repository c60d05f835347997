/** Idempotency keys while transactions are open, and when many add the same ones at once. */
import type { Pool, PoolClient } from "pg";
import { expect, onTestFinished, test } from "vitest";

import type { KeyedAnswer, KeyedAppend, KeyedItem } from "../../../src/core/keyed.ts";
import { Batchwork } from "../../../src/runtime/engine.ts";
import { postgres } from "../../../src/storage/postgres/index.ts";
import type { Batch } from "../../../src/runtime/accumulator.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { describePostgres, testDatabase } from "../../postgres/database.ts";
import { claimOf, LEASE_MS, numbers, opened, queueOf } from "./fixture.ts";

/** An append of calls, each a list of keys whose items are the keys themselves. */
function keyed(queue: number, calls: readonly (readonly string[])[]): KeyedAppend {
  const items = calls.flatMap((keys, call) =>
    keys.map((key): KeyedItem => {
      const value = JSON.stringify(key);
      return { call, chunk: 0, key, digest: value, value, bytes: value.length };
    }),
  );
  return { chunks: [{ queue, group: "", dueInMs: 0, keyTtlMs: 60_000 }], items };
}

/** An engine that only adds. */
function orders(pool: Pool): Batch<string> {
  const bw = new Batchwork({ storage: postgres({ pool }) });
  onTestFinished(async () => bw.stop());
  const handler = (): void => undefined;
  return bw.batch<string>({ name: "orders", maxSize: 500, maxWaitMs: 60_000, handler });
}

/** A connection with a transaction open. */
async function begun(pool: Pool): Promise<PoolClient> {
  const client = await pool.connect();
  onTestFinished(async () => {
    await client.query("ROLLBACK");
    client.release();
  });
  await client.query("BEGIN");
  return client;
}

async function repeated(storage: Storage, append: KeyedAppend): Promise<KeyedAnswer> {
  for (;;) {
    const [answer] = (await storage.appendKeyed(append)) as [KeyedAnswer];
    if (answer.kind !== "busy") return answer;
  }
}

describePostgres("keys and open transactions", () => {
  const { pool } = testDatabase();

  test("an open transaction holds up no other key and nothing without one", async () => {
    const [batch, other] = [orders(pool), orders(pool)];
    const tx = await begun(pool);
    const inside = await batch.add("inside", { tx, idempotencyKey: "taken" });
    const waiting = other.add("inside", { idempotencyKey: "taken" });
    const refused = other.add("of another kind", { idempotencyKey: "taken" });
    refused.catch(() => undefined);
    const beside = await Promise.all([
      ...numbers(20).map(async (n) => other.add(`${n}`, { idempotencyKey: `free ${n}` })),
      ...numbers(20).map(async (n) => other.add(`${n}`)),
      other.addBulk(["a", "b"], { idempotencyKey: (item) => item }).then(([first]) => first),
      batch.add("also", { idempotencyKey: "also" }),
    ]);
    expect(beside.map((one) => one?.duplicate)).toEqual(numbers(42).map(() => false));
    await tx.query("COMMIT");
    expect(await waiting).toEqual({ id: inside.id, duplicate: true });
    await expect(refused).rejects.toMatchObject({ code: "KEY_CONFLICT", value: "taken" });
    expect(await other.getBufferSize()).toBe(44);
  });

  test("who waited gets the key when the transaction rolls back", async () => {
    const batch = orders(pool);
    const tx = await begun(pool);
    await batch.add("never", { tx, idempotencyKey: "given back" });
    const waiting = batch.add("kept", { idempotencyKey: "given back" });
    await batch.add("beside", { idempotencyKey: "beside" });
    await tx.query("ROLLBACK");
    expect((await waiting).duplicate).toBe(false);
    await expect(batch.add("never", { idempotencyKey: "given back" })).rejects.toMatchObject({
      code: "KEY_CONFLICT",
    });
  });

  test("two transactions with the same key: the second waits for the first", async () => {
    const batch = orders(pool);
    const [one, two] = [await begun(pool), await begun(pool)];
    const first = await batch.add("same", { tx: one, idempotencyKey: "both" });
    const second = batch.add("same", { tx: two, idempotencyKey: "both" });
    await expect.poll(async () => lockWaits()).toBeGreaterThan(0);
    await one.query("COMMIT");
    expect(await second).toEqual({ id: first.id, duplicate: true });
    await two.query("COMMIT");
  });

  test("a refused key leaves the caller's transaction usable", async () => {
    const batch = orders(pool);
    await batch.add("first", { idempotencyKey: "theirs" });
    const tx = await begun(pool);
    const bulk = { tx, idempotencyKey: (item: string) => (item === "new" ? "mine" : "theirs") };
    await expect(batch.addBulk(["new", "other"], bulk)).rejects.toMatchObject({
      code: "KEY_CONFLICT",
    });
    expect((await batch.add("new", { tx, idempotencyKey: "mine" })).duplicate).toBe(false);
    await tx.query("COMMIT");
    expect((await batch.add("new", { idempotencyKey: "mine" })).duplicate).toBe(true);
  });

  test("of a commit only the calls whose keys others have are put off", async () => {
    const storage = await opened(pool);
    const queue = await queueOf(storage, "halves");
    const tx = await begun(pool);
    await storage.appendKeyedWithin(tx, keyed(queue, [["key 3", "key 8"]]));
    const calls = numbers(16).map((n) => [`key ${n}`]);
    const answers = await storage.appendKeyed(keyed(queue, calls));
    const busy = answers.flatMap(({ kind }, n) => (kind === "busy" ? [n] : []));
    expect(busy).toEqual([3, 8]);
    expect(answers.filter(({ kind }) => kind === "stored")).toHaveLength(14);
  });

  test("unsorted keys, added everywhere at once, deadlock nobody", async () => {
    const storages = await Promise.all(numbers(4).map(async () => opened(pool)));
    const queue = await queueOf(storages[0] as Storage, "unsorted");
    const keys = numbers(40).map((n) => `key ${n}`);
    const appends = storages.flatMap((storage, s) =>
      numbers(10).map(async (n) => {
        const turn = (s * 13 + n * 7) % keys.length;
        const call = [...keys.slice(turn), ...keys.slice(0, turn)];
        return repeated(storage, keyed(queue, [n % 2 === 0 ? call : call.toReversed()]));
      }),
    );
    const places = (await Promise.all(appends)).flatMap((answer) =>
      answer.kind === "stored" ? answer.places : [],
    );
    expect(places).toHaveLength(40 * 40);
    expect(places.filter(({ duplicate }) => !duplicate)).toHaveLength(40);
    expect(await deadlocks()).toBe(0);
  });

  test("keys that are held no longer are gone after as many again were added", async () => {
    const storage = await opened(pool);
    const queue = await queueOf(storage, "forgotten");
    const incarnation = await storage.enroll(LEASE_MS);
    const append = keyed(queue, [numbers(50).map((n) => `old ${n}`)]);
    const chunks = append.chunks.map((chunk) => ({ ...chunk, keyTtlMs: 0 }));
    await storage.appendKeyed({ ...append, chunks });
    const { claimed } = await storage.exchange(claimOf(incarnation, queue, 10));
    const settlements = claimed.map(({ batch, token }) => {
      return { batch, token, outcome: { kind: "done" as const } };
    });
    await storage.exchange({ incarnation, settlements, claims: [], alone: false });
    await storage.appendKeyed(keyed(queue, [numbers(25).map((n) => `new ${n}`)]));
    const left = await pool.query(
      "SELECT count(*)::int AS n FROM batchwork.keys WHERE queue = $1",
      [queue],
    );
    expect(left.rows).toEqual([{ n: 25 }]);
  });

  async function lockWaits(): Promise<number> {
    const { rows } = await pool.query<{ readonly n: number }>(
      "SELECT count(*)::int AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
    );
    return rows[0]?.n ?? 0;
  }

  async function deadlocks(): Promise<number> {
    const { rows } = await pool.query<{ readonly n: number }>(
      "SELECT deadlocks::int AS n FROM pg_stat_database WHERE datname = current_database()",
    );
    return rows[0]?.n ?? 0;
  }
});
