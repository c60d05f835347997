/** Hearing of other processes: announcements, what they cost, and doing without them. */
import pg from "pg";
import { expect, onTestFinished, test } from "vitest";

import { Batchwork, type Batch, type BatchOptions } from "../../../src/index.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { parseAnnouncement } from "../../../src/storage/postgres/announcements.ts";
import { postgres, type PostgresPool } from "../../../src/storage/postgres/index.ts";
import { describePostgres, testDatabase } from "../../postgres/database.ts";
import { LEASE_MS } from "./fixture.ts";

/** Nothing of a test waits that long: who only looks now and then looks too late. */
const NEVER_MS = 3_600_000;

interface Process {
  readonly bw: Batchwork;
  readonly batch: Batch<number>;
  readonly found: number[];
  readonly warnings: string[];
}

interface Making extends Partial<BatchOptions<number>> {
  readonly pool?: PostgresPool;
  readonly notifications?: boolean;
  readonly tickIntervalMs?: number;
}

describePostgres("processes on PostgreSQL", () => {
  const { pool, url } = testDatabase();

  function pooled(max = 5, more: pg.PoolConfig = {}): pg.Pool {
    const own = new pg.Pool({ connectionString: url, max, ...more });
    own.on("error", () => undefined);
    onTestFinished(async () => own.end());
    return own;
  }

  /** An engine that would find nothing by looking now and then. */
  function process(name: string, making: Making = {}): Process {
    const { pool: own = pooled(), notifications = true, ...options } = making;
    const { tickIntervalMs = NEVER_MS, ...limits } = options;
    const warnings: string[] = [];
    const quiet = (): void => undefined;
    const warn = (message: string): void => void warnings.push(message);
    const bw = new Batchwork({
      storage: postgres({ pool: own, notifications }),
      tickIntervalMs,
      logger: { debug: quiet, info: quiet, warn, error: warn },
    });
    onTestFinished(async () => bw.stop({ graceMs: 5000 }));
    const found: number[] = [];
    const handler = (ctx: { readonly batch: number[] }): void => void found.push(...ctx.batch);
    const batch = bw.batch<number>({ name, maxSize: 10, maxWaitMs: NEVER_MS, handler, ...limits });
    return { bw, batch, found, warnings };
  }

  /** Waits until so many connections of the database listen. */
  async function listening(count: number): Promise<void> {
    await expect.poll(async () => listeners(), { timeout: 20_000 }).toBe(count);
  }

  async function listeners(): Promise<number> {
    const { rows } = await pool.query<{ readonly n: number }>(
      `SELECT count(*)::int AS n FROM pg_stat_activity
      WHERE datname = current_database() AND query LIKE 'LISTEN %' AND state = 'idle'`,
    );
    return rows[0]?.n ?? 0;
  }

  /** What a process was handed, once that is so many items. */
  async function handed({ found }: Process, count: number): Promise<number[]> {
    await expect.poll(() => found.length, { timeout: 20_000 }).toBeGreaterThanOrEqual(count);
    return found.toSorted((a, b) => a - b);
  }

  test("a batch that a process fills is handed over by another, which was asleep", async () => {
    const [adder, worker] = [process("filled"), process("filled")];
    await worker.bw.start();
    await listening(1);
    await adder.batch.addBulk(numbers(10));
    expect(await handed(worker, 10)).toEqual(numbers(10));
  });

  test("items that fill nothing are handed over by another when they are due", async () => {
    const limits = { maxWaitMs: 50 };
    const [adder, worker] = [process("due", limits), process("due", limits)];
    await worker.bw.start();
    await listening(1);
    await adder.batch.add(1);
    expect(await handed(worker, 1)).toEqual([1]);
    await adder.batch.add(2);
    expect(await handed(worker, 2)).toEqual([1, 2]);
  });

  test("what a busy process cannot take is taken by another", async () => {
    let free: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      free = resolve;
    });
    const begun: number[] = [];
    const busy = process("busy", {
      concurrency: 1,
      handler: async (ctx) => {
        begun.push(...ctx.batch);
        await held;
      },
    });
    const idle = process("busy");
    await busy.bw.start();
    await busy.batch.addBulk(numbers(10));
    await expect.poll(() => begun).toEqual(numbers(10));
    await idle.bw.start();
    await listening(2);
    await busy.batch.addBulk(numbers(10, 10));
    expect(await handed(idle, 10)).toEqual(numbers(10, 10));
    free();
  });

  test("flush, resume and redrive in one process are carried out by another", async () => {
    const [asker, worker] = [process("asked"), process("asked")];
    await worker.bw.start();
    await listening(1);
    await asker.batch.addBulk(numbers(3));
    await asker.batch.flush();
    expect(worker.found).toEqual(numbers(3));
    await asker.batch.pause();
    await asker.batch.addBulk(numbers(10, 10));
    await asker.batch.resume();
    expect(await handed(worker, 13)).toEqual([...numbers(3), ...numbers(10, 10)]);
  });

  test("what commits in a transaction of the user's is announced by others than its connection", async () => {
    const limits = { maxSize: 2 };
    const [adder, worker] = [process("joined", limits), process("joined", limits)];
    await worker.bw.start();
    await listening(1);
    const senders: number[] = [];
    const listener = await pool.connect();
    onTestFinished(() => listener.release(true));
    listener.on("notification", ({ processId }) => void senders.push(processId));
    const {
      rows: [meta],
    } = await pool.query<{ readonly id: string }>("SELECT id FROM batchwork.meta");
    await listener.query(`LISTEN "batchwork_${meta?.id}"`);
    const client = await pool.connect();
    onTestFinished(() => client.release());
    await client.query("BEGIN");
    await adder.batch.add(1, { tx: client });
    await adder.batch.add(2, { tx: client });
    await client.query("COMMIT");
    expect(await handed(worker, 2)).toEqual([1, 2]);
    await expect.poll(() => senders.length).toBeGreaterThan(0);
    const own = (client as unknown as { readonly processID: number }).processID;
    expect(senders).not.toContain(own);
  });

  test("a stopped process's batch is taken over at once", async () => {
    const begun: number[] = [];
    const first = process("given-back", {
      handler: async (ctx) => {
        begun.push(...ctx.batch);
        await new Promise<void>((resolve) => {
          ctx.signal.addEventListener("abort", () => resolve());
        });
      },
    });
    const second = process("given-back");
    await first.bw.start();
    await first.batch.addBulk(numbers(10));
    await expect.poll(() => begun).toEqual(numbers(10));
    await second.bw.start();
    await listening(2);
    await first.bw.stop({ graceMs: 0 });
    expect(await handed(second, 10)).toEqual(numbers(10));
  });

  test("a listening connection that breaks is made anew, and nothing was missed", async () => {
    const [adder, worker] = [process("broken"), process("broken")];
    await worker.bw.start();
    await listening(1);
    await pool.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND query LIKE 'LISTEN %'`,
    );
    await adder.batch.addBulk(numbers(10));
    expect(await handed(worker, 10)).toEqual(numbers(10));
    await listening(1);
    await adder.batch.addBulk(numbers(10, 10));
    expect(await handed(worker, 20)).toEqual(numbers(20));
    expect(worker.warnings).toEqual(["Listening failed; trying again."]);
  });

  test("without notifications nobody listens, and the others' work is found all the same", async () => {
    const making = { notifications: false, tickIntervalMs: 100, maxWaitMs: 10 };
    const [adder, worker] = [process("unheard", making), process("unheard", making)];
    await worker.bw.start();
    for (let n = 0; n < 25; n += 5) {
      await adder.batch.addBulk(numbers(5, n));
      expect(await handed(worker, n + 5)).toEqual(numbers(n + 5));
    }
    expect(await listeners()).toBe(0);
    expect(worker.warnings).toEqual([]);
  });

  test("a pool of one connection is not used up by listening", async () => {
    const small = process("small", { pool: pooled(1), maxWaitMs: 10 });
    await small.bw.start();
    await small.batch.add(1);
    await small.batch.flush();
    expect(small.found).toEqual([1]);
    expect(small.warnings).toEqual([expect.stringContaining("one connection only")]);
  });

  test("closing gives the listening connection back, however often it is opened", async () => {
    const own = pooled(3);
    for (let n = 0; n < 5; n++) {
      const storage = postgres({ pool: own });
      await storage.open({ clock: systemClock });
      await storage.enroll(LEASE_MS);
      if (n % 2 === 0) await listening(1);
      await storage.close();
    }
    await expect.poll(() => own.totalCount - own.idleCount).toBe(0);
    await listening(0);
  });

  test("announcements in a row become few, and the last of them is never lost", async () => {
    const heard: number[] = [];
    const [one, two] = [postgres({ pool }), postgres({ pool })];
    for (const storage of [one, two]) onTestFinished(async () => storage.close());
    const own: number[] = [];
    await one.open({ clock: systemClock, announced: (ms) => void own.push(ms) });
    await two.open({ clock: systemClock, announced: (ms) => void heard.push(ms) });
    for (const storage of [one, two]) await storage.enroll(LEASE_MS);
    await listening(2);
    await expect.poll(() => [own, heard]).toEqual([[0], [0]]);
    for (let n = 0; n < 1000; n++) one.announce(5000);
    one.announce(3000);
    // Sent at the latest when it closes.
    await one.close();
    await expect.poll(() => heard.at(-1)).toBeLessThanOrEqual(3000);
    expect(heard.length).toBeLessThanOrEqual(4);
    expect(own).toEqual([0]);
  });

  test("commits do not notify: only who has nobody at hand for the work does", async () => {
    const sent: string[] = [];
    const both = process("counted", { pool: counting(pooled(), sent) });
    await both.bw.start();
    await listening(1);
    for (let n = 0; n < 100; n++) await both.batch.addBulk(numbers(10, n * 10));
    expect(await handed(both, 1000)).toEqual(numbers(1000));
    const adds = sent.filter((text) => text.includes(".append"));
    const notices = sent.filter((text) => text.includes("pg_notify"));
    expect(adds).toHaveLength(100);
    expect(notices.length).toBeLessThan(adds.length);
  });

  test("an idle engine with 50 queues asks less than once a second", async () => {
    for (const notifications of [true, false]) {
      const sent: string[] = [];
      const own = counting(pooled(), sent);
      const quiet = (): void => undefined;
      // A hundred times as fast as the default, so that three minutes of it are about two seconds.
      const bw = new Batchwork({
        storage: postgres({ pool: own, notifications }),
        tickIntervalMs: 25,
        leaseMs: 150,
        heartbeatMs: 50,
        logger: { debug: quiet, info: quiet, warn: quiet, error: quiet },
      });
      onTestFinished(async () => bw.stop());
      for (let n = 0; n < 50; n++) {
        const deadLetter = { enabled: true, onDead: quiet };
        const options = { maxSize: 10, maxWaitMs: 10, handler: quiet, deadLetter };
        bw.batch<number>({ name: `idle-${notifications}-${n}`, ...options });
      }
      await bw.start();
      sent.length = 0;
      const from = performance.now();
      await expect.poll(() => performance.now() - from, { timeout: 9000 }).toBeGreaterThan(2000);
      const seconds = ((performance.now() - from) / 1000) * 100;
      expect(sent.length).toBeGreaterThan(0);
      expect(sent.length / seconds, sent.slice(0, 50).join("\n")).toBeLessThan(1);
      await bw.stop();
    }
  });
});

test("a message that nobody here wrote is ignored", () => {
  expect(parseAnnouncement("me 12")).toEqual({ sender: "me", ms: 12 });
  for (const text of ["", "me", "me -1", "me x", "me 1e9", `me ${"9".repeat(30)}`]) {
    expect(parseAnnouncement(text)).toBeUndefined();
  }
});

/** The same pool, noting every statement. */
function counting(pool: pg.Pool, sent: string[]): PostgresPool {
  const note = (args: readonly unknown[]): void => {
    const [query] = args as [string | { readonly text: string }];
    sent.push(typeof query === "string" ? query : query.text);
  };
  return {
    query: async (query) => {
      note([query]);
      return pool.query(query as pg.QueryConfig);
    },
    connect: async () => {
      const client = await pool.connect();
      return new Proxy(client, {
        get: (target, key) => {
          const value: unknown = Reflect.get(target, key);
          if (typeof value !== "function") return value;
          return (...args: readonly unknown[]): unknown => {
            if (key === "query") note(args);
            return Reflect.apply(value, target, args);
          };
        },
      });
    },
  };
}

function numbers(count: number, from = 0): number[] {
  return Array.from({ length: count }, (_, n) => from + n);
}
