/** A network and a server that fail at the worst moment. */
import { EventEmitter } from "node:events";

import pg from "pg";
import { expect, onTestFinished, test } from "vitest";

import { systemClock } from "../../../src/runtime/clock.ts";
import type { PostgresPool, PostgresPoolClient } from "../../../src/storage/postgres/client.ts";
import { postgres, type PostgresTx } from "../../../src/storage/postgres/index.ts";
import { borrow, giveBack } from "../../../src/storage/postgres/lending.ts";
import type { ClaimedBatch, Storage } from "../../../src/storage/storage.ts";
import { describePostgres, testDatabase } from "../../postgres/database.ts";
import { Proxy } from "../../postgres/proxy.ts";
import { chunkOf, claimOf, LEASE_MS, numbers, queueOf } from "./fixture.ts";

/** Short where nothing else ends a wait, and long enough for a machine that is busy. */
const REPLY_MS = 1500;

test("a connection that breaks as it is handed out is found broken by what is asked of it", async () => {
  const query = async (): Promise<never> => {
    throw new Error("not queryable");
  };
  const client = Object.assign(new EventEmitter(), {
    query,
    release: () => undefined,
  }) as unknown as PostgresPoolClient & EventEmitter;
  const pool = {
    query,
    connect: (taken: (error: undefined, client: PostgresPoolClient) => void) => {
      taken(undefined, client);
      // Nobody who waits for a promise listens yet.
      client.emit("error", new Error("terminating connection"));
    },
  } as unknown as PostgresPool;
  const borrowed = await borrow(pool);
  await expect(borrowed.query({ text: "SELECT 1" })).rejects.toThrow("not queryable");
  giveBack(borrowed, true);
  expect(client.listenerCount("error")).toBe(0);
});

test("a pool that only returns promises will do", async () => {
  const client = { query: async () => ({ rows: [] }), release: () => undefined };
  const pool = { query: client.query, connect: async () => client };
  expect(await borrow(pool)).toBe(client);
  const connect = async (): Promise<never> => {
    throw new Error("away");
  };
  const refusing = { ...pool, connect };
  await expect(borrow(refusing)).rejects.toThrow("away");
});

describePostgres("a connection that is cut", () => {
  const { pool, url } = testDatabase();

  test("an add whose answer is lost says that it may have happened, and it has", async () => {
    const { storage, proxy, queue } = await behindProxy("add, answer lost");
    const cut = proxy.cutNext({ word: ".append", forward: true });
    await expect(storage.append([chunkOf(queue, numbers(3))])).rejects.toMatchObject({
      code: "STORAGE_FAILED",
      message: expect.stringContaining("may or may not be there") as unknown,
    });
    await cut;
    expect(await storage.counts(queue, null)).toMatchObject({ waiting: 3 });
  });

  test("an add that never arrives says the same, and nothing of it is there", async () => {
    const { storage, proxy, queue } = await behindProxy("add, not sent");
    const cut = proxy.cutNext({ word: ".append", forward: false });
    await expect(storage.append([chunkOf(queue, numbers(3))])).rejects.toMatchObject({
      code: "STORAGE_FAILED",
    });
    await cut;
    expect(await storage.counts(queue, null)).toMatchObject({ waiting: 0 });
  });

  test("a transaction whose commit lost its answer reads the token, and has succeeded", async () => {
    const { storage, proxy, queue } = await behindProxy("tx, answer lost");
    const batch = await claimed(storage, queue);
    const effects = await table("tx_answer_lost");
    const cut = proxy.cutNext({ word: "settle_one", forward: true });
    expect(await write(storage, batch, effects)).toBe("written");
    await cut;
    expect(await rowsIn(effects)).toBe(1);
    expect(await storage.counts(queue, null)).toMatchObject({ leased: 0, waiting: 0 });
    await expect(write(storage, batch, effects)).rejects.toMatchObject({ code: "LEASE_LOST" });
  });

  test("a transaction whose commit never arrives has failed, and left nothing", async () => {
    const { storage, proxy, queue } = await behindProxy("tx, not sent");
    const batch = await claimed(storage, queue);
    const effects = await table("tx_not_sent");
    const cut = proxy.cutNext({ word: "settle_one", forward: false });
    await expect(write(storage, batch, effects)).rejects.toMatchObject({ code: "STORAGE_FAILED" });
    await cut;
    expect(await rowsIn(effects)).toBe(0);
    expect(await write(storage, batch, effects)).toBe("written");
    expect(await rowsIn(effects)).toBe(1);
  });

  test("a claim whose answer is lost is found by comparing, and given back", async () => {
    const { storage, proxy, queue } = await behindProxy("claim, answer lost");
    const incarnation = await storage.enroll(LEASE_MS);
    await storage.append([chunkOf(queue, numbers(5))]);
    const cut = proxy.cutNext({ word: ".exchange", forward: true });
    await expect(storage.exchange(claimOf(incarnation, queue))).rejects.toMatchObject({
      code: "STORAGE_FAILED",
    });
    await cut;
    expect(await storage.counts(queue, null)).toMatchObject({ leased: 1 });
    expect(await storage.reconcile(incarnation, [])).toEqual([]);
    const { claimed: again } = await storage.exchange(claimOf(incarnation, queue));
    expect(again.map(({ token, count }) => [token, count])).toEqual([[2, 5]]);
  });

  test("a connection that is ended between two statements fails the transaction alone", async () => {
    const { storage, queue } = await behindProxy("terminated");
    const batch = await claimed(storage, queue);
    const effects = await table("terminated");
    const ended = storage.transact({
      lease: batch,
      run: async (tx: PostgresTx) => {
        await tx.query(INSERT.replace("@", effects));
        const { rows } = await tx.query<{ readonly pid: number }>("SELECT pg_backend_pid() AS pid");
        await pool.query("SELECT pg_terminate_backend($1)", [rows[0]?.pid]);
        await expect.poll(async () => sessions(rows[0]?.pid ?? 0)).toBe(0);
        await tx.query("SELECT 1");
      },
      outcome: () => ({ kind: "done" }),
    });
    await expect(ended).rejects.toThrow(/terminat|not queryable|connection error/v);
    expect(await rowsIn(effects)).toBe(0);
    expect(await write(storage, batch, effects)).toBe("written");
  });

  test("what the server refuses at the commit is the handler's own error", async () => {
    const { storage, queue } = await behindProxy("deferred");
    const batch = await claimed(storage, queue);
    const effects = await table("deferred", "UNIQUE DEFERRABLE INITIALLY DEFERRED");
    await pool.query(INSERT.replace("@", effects));
    await expect(write(storage, batch, effects)).rejects.toMatchObject({ code: "23505" });
    expect(await rowsIn(effects)).toBe(1);
    await pool.query(`DELETE FROM ${effects}`);
    expect(await write(storage, batch, effects)).toBe("written");
  });

  test("an error text of any kind is stored as it is, and is no SQL", async () => {
    const { storage, queue } = await behindProxy("literal");
    const batch = await claimed(storage, queue);
    const message = `it's @.batches \\ '); DROP TABLE x; -- \\' \u{1F600} \0`;
    const dead = numbers(batch.count).map((position) => {
      return { position, error: { name: "Error", message } };
    });
    await storage.transact({
      lease: batch,
      run: async () => undefined,
      outcome: () => ({ kind: "split", children: [], dead, error: { name: "Error", message } }),
    });
    const [letter] = await storage.deadLetters({ queue, group: null, after: 0, limit: 1 });
    expect(letter?.error.message).toBe(message);
  });

  test("a connection that answers no more is given up, and leaves nothing behind", async () => {
    const { storage, proxy, queue } = await behindProxy("half-open");
    const batch = await claimed(storage, queue);
    const effects = await table("half_open");
    const stuck = storage.transact({
      lease: batch,
      run: async (tx: PostgresTx) => {
        await tx.query(INSERT.replace("@", effects));
        proxy.freeze(() => true);
        await tx.query("SELECT 1");
      },
      outcome: () => ({ kind: "done" }),
    });
    await expect(stuck).rejects.toThrow("timeout");
    expect(await storage.counts(queue, null)).toMatchObject({ leased: 1 });
    expect(await write(storage, batch, effects)).toBe("written");
    // The server still has the other end, and hears nothing from it.
    await expect.poll(async () => openTransactions(), { timeout: 15_000 }).toBe(0);
    expect(await rowsIn(effects)).toBe(1);
  });

  /** A storage whose connections go through a proxy of their own. */
  async function behindProxy(
    name: string,
  ): Promise<{ readonly storage: Storage; readonly proxy: Proxy; readonly queue: number }> {
    const proxy = await Proxy.open(Number(new URL(url).port));
    const address = new URL(url);
    address.port = String(proxy.port);
    const own = new pg.Pool({ connectionString: address.href, max: 5 });
    own.on("error", () => undefined);
    const storage = postgres({ pool: own, replyTimeoutMs: REPLY_MS });
    onTestFinished(async () => {
      await storage.close();
      await proxy.close();
      await own.end();
    });
    await storage.open({ clock: systemClock });
    return { storage, proxy, queue: await queueOf(storage, name) };
  }

  async function claimed(storage: Storage, queue: number): Promise<ClaimedBatch> {
    await storage.append([chunkOf(queue, numbers(4))]);
    const incarnation = await storage.enroll(LEASE_MS);
    const { claimed: batches } = await storage.exchange(claimOf(incarnation, queue));
    expect(batches).toHaveLength(1);
    return batches[0] as ClaimedBatch;
  }

  async function write(storage: Storage, lease: ClaimedBatch, effects: string): Promise<string> {
    return storage.transact({
      lease,
      run: async (tx: PostgresTx) => {
        await tx.query(INSERT.replace("@", effects));
        return "written";
      },
      outcome: () => ({ kind: "done" }),
    });
  }

  async function table(name: string, constraint = ""): Promise<string> {
    await pool.query(`CREATE TABLE ${name} (id int NOT NULL ${constraint})`);
    return name;
  }

  async function rowsIn(name: string): Promise<number> {
    return count(`SELECT count(*)::int AS n FROM ${name}`);
  }

  async function sessions(pid: number): Promise<number> {
    return count(`SELECT count(*)::int AS n FROM pg_stat_activity WHERE pid = ${pid}`);
  }

  async function openTransactions(): Promise<number> {
    return count(`SELECT count(*)::int AS n FROM pg_stat_activity
      WHERE datname = current_database() AND state LIKE 'idle in transaction%'`);
  }

  async function count(sql: string): Promise<number> {
    const { rows } = await pool.query<{ readonly n: number }>(sql);
    return rows[0]?.n ?? 0;
  }
});

const INSERT = "INSERT INTO @ VALUES (1)";
