/** Engines behind PgBouncer in transaction mode, where the machine has one. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";

import { Batchwork, type BatchOptions } from "../../../src/index.ts";
import { postgres, type PostgresTx } from "../../../src/storage/postgres/index.ts";
import { routeOf } from "../../../src/storage/postgres/pooler.ts";
import { describePostgres, testDatabase } from "../../postgres/database.ts";
import { freePort } from "../../postgres/server.ts";
import { numbers } from "./fixture.ts";

const BINARY = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"].find(
  (file) => existsSync(file),
);

/** Skipped, by name, on a machine without PgBouncer. */
const describePgBouncer = BINARY === undefined ? describe.skip : describePostgres;

const LISTENING = `SELECT 1 AS one FROM pg_stat_activity
  WHERE datname = current_database() AND query LIKE 'LISTEN %' AND state = 'idle'`;

describePgBouncer("behind PgBouncer in transaction mode", () => {
  const { pool: direct, url } = testDatabase();
  let pooledUrl = "";
  let stop: () => Promise<void> = async () => undefined;

  beforeAll(async () => {
    const bouncer = await startPgBouncer(url);
    pooledUrl = bouncer.url;
    stop = bouncer.stop;
  });
  afterAll(async () => stop());

  interface Made {
    readonly bw: Batchwork;
    readonly warnings: string[];
  }

  /** An engine that reaches the server through `through`. */
  function engine(through = pooledUrl, tickIntervalMs = 100): Made {
    const warnings: string[] = [];
    const quiet = (): void => undefined;
    const warn = (message: string): void => void warnings.push(message);
    const bw = new Batchwork({
      storage: postgres({ connectionString: through }),
      tickIntervalMs,
      logger: { debug: quiet, info: quiet, warn, error: warn },
    });
    onTestFinished(async () => bw.stop({ graceMs: 5000 }));
    return { bw, warnings };
  }

  const LIMITS = { maxSize: 10, maxWaitMs: 20 };

  test("it is told from a connection of its own, so nothing is prepared through it", async () => {
    const pooled = new pg.Pool({ connectionString: pooledUrl, max: 1 });
    onTestFinished(async () => pooled.end());
    for (const [pool, route] of [
      [direct, "direct"],
      [pooled, "pooled"],
    ] as const) {
      const client = await pool.connect();
      expect(await routeOf(client, 5000)).toBe(route);
      client.release();
    }
  });

  test("two engines hand each item over once, in bulk and in groups", async () => {
    const [one, two] = [engine(), engine()];
    const found: number[] = [];
    const options: BatchOptions<number> = {
      ...LIMITS,
      name: "shared",
      groupBy: (n) => `group ${n % 3}`,
      handler: (ctx) => void found.push(...ctx.batch),
    };
    const first = one.bw.batch<number>(options);
    const second = two.bw.batch<number>(options);
    await Promise.all([one.bw.start(), two.bw.start()]);
    // More callers than the pooler has connections to the server.
    await Promise.all(
      [first, second].map(async (batch, n) => batch.addBulk(numbers(100, n * 100))),
    );
    await Promise.all(numbers(40, 200).map(async (n) => (n % 2 === 0 ? first : second).add(n)));
    await first.drain();
    expect(found.toSorted((a, b) => a - b)).toEqual(numbers(240));
  });

  test("ctx.tx and an add in the user's own transaction commit or roll back", async () => {
    await direct.query("CREATE TABLE effects (id int NOT NULL)");
    const { bw } = engine();
    const follow: number[] = [];
    const next = bw.batch<number>({
      ...LIMITS,
      name: "next",
      handler: (ctx) => void follow.push(...ctx.batch),
    });
    let tries = 0;
    const effects = bw.batch<number>({
      ...LIMITS,
      name: "effects",
      retries: { max: 1, baseDelay: 5 },
      deadLetter: { enabled: true },
      handler: async (ctx) => {
        await ctx.tx(async (tx: PostgresTx) => {
          for (const id of ctx.batch) await tx.query("INSERT INTO effects VALUES ($1)", [id]);
          await next.add(ctx.batch.length, { tx });
          if (++tries === 1) throw new Error("not yet");
        });
      },
    });
    await bw.start();
    const pool = new pg.Pool({ connectionString: pooledUrl, max: 4 });
    onTestFinished(async () => pool.end());
    const client = await pool.connect();
    for (const [id, end] of [
      [1, "ROLLBACK"],
      [2, "COMMIT"],
    ] as const) {
      await client.query("BEGIN");
      await effects.add(id, { tx: client });
      await client.query(end);
    }
    client.release();
    await expect(effects.add(3, { tx: pool })).rejects.toMatchObject({ code: "TX_MISMATCH" });
    await effects.drain();
    await next.flush();
    expect((await direct.query("SELECT id FROM effects")).rows).toEqual([{ id: 2 }]);
    expect([tries, follow]).toEqual([2, [1]]);
  });

  test("nobody listens through it, which is said once, and polling does instead", async () => {
    const { bw, warnings } = engine();
    const found: number[] = [];
    const handler = (ctx: { readonly batch: number[] }): void => void found.push(...ctx.batch);
    bw.batch<number>({ ...LIMITS, name: "polled", handler });
    await bw.start();
    await expect.poll(() => warnings, { timeout: 20_000 }).toHaveLength(1);
    expect(warnings[0]).toMatch(/a pooler is between .*tickIntervalMs/);
    const adder = engine();
    const batch = adder.bw.batch<number>({ ...LIMITS, name: "polled", handler });
    await batch.addBulk(numbers(10));
    await expect.poll(() => found, { timeout: 20_000 }).toEqual(numbers(10));
    expect(adder.warnings).toEqual([]);
    const { rows } = await direct.query(LISTENING);
    expect(rows).toEqual([]);
  });

  test("what is added through it is announced to processes that are not behind it", async () => {
    const adder = engine();
    const worker = engine(url, 3_600_000);
    const found: number[] = [];
    const options = { ...LIMITS, name: "announced", maxWaitMs: 3_600_000 };
    const handler = (ctx: { readonly batch: number[] }): void => void found.push(...ctx.batch);
    worker.bw.batch<number>({ ...options, handler });
    const batch = adder.bw.batch<number>({ ...options, handler });
    await worker.bw.start();
    const timeout = 20_000;
    await expect.poll(async () => (await direct.query(LISTENING)).rowCount, { timeout }).toBe(1);
    await batch.addBulk(numbers(10));
    await expect.poll(() => found, { timeout: 20_000 }).toEqual(numbers(10));
  });
});

interface PgBouncer {
  readonly url: string;
  readonly stop: () => Promise<void>;
}

/** Starts one in front of the server, with fewer connections to it than the tests use. */
async function startPgBouncer(url: string): Promise<PgBouncer> {
  const server = new URL(url);
  const port = await freePort();
  const folder = mkdtempSync(path.join(tmpdir(), "batchwork-pgbouncer-"));
  const config = path.join(folder, "pgbouncer.ini");
  const password = server.password === "" ? "" : ` password=${server.password}`;
  const lines = [
    "[databases]",
    `* = host=${server.hostname} port=${server.port || 5432} user=${server.username}${password}`,
    "[pgbouncer]",
    "listen_addr = 127.0.0.1",
    `listen_port = ${port}`,
    "unix_socket_dir =",
    "auth_type = any",
    "pool_mode = transaction",
    "default_pool_size = 3",
  ];
  writeFileSync(config, `${lines.join("\n")}\n`);
  const child = spawn(BINARY as string, [config], {
    stdio: ["ignore", "ignore", "pipe"],
    cwd: "/",
    ...(process.getuid?.() === 0 ? unprivileged(folder) : {}),
  });
  const kill = (): void => void child.kill("SIGKILL");
  process.once("exit", kill);
  const gone = once(child, "exit");
  const pooled = new URL(url);
  pooled.host = `127.0.0.1:${port}`;
  await new Promise<void>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", () => reject(new Error("PgBouncer did not start.")));
    createInterface({ input: child.stderr }).on("line", (line) => {
      if (line.includes("process up")) resolve();
    });
  });
  return {
    url: pooled.href,
    stop: async () => {
      process.off("exit", kill);
      kill();
      await gone;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** It refuses to run as root. */
function unprivileged(folder: string): { readonly uid: number; readonly gid: number } {
  const [uid, gid] = ["-u", "-g"].map((flag) =>
    Number(spawnSync("id", [flag, "nobody"], { encoding: "utf8" }).stdout),
  ) as [number, number];
  spawnSync("chown", ["-R", `${uid}:${gid}`, folder]);
  return { uid, gid };
}
