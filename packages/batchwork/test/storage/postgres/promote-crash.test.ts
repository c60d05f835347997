/** Whatever interrupts a promotion, either the source is as it was or the target is complete. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import type pg from "pg";
import { expect, test } from "vitest";

import { hasCode } from "../../../src/core/errors.ts";
import { promote, type PromoteOptions } from "../../../src/promote/promote.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { postgres } from "../../../src/storage/postgres/index.ts";
import type { PostgresPool } from "../../../src/storage/postgres/index.ts";
import { sqlite } from "../../../src/storage/sqlite/index.ts";
import { describePostgres, emptyTables, testDatabase } from "../../postgres/database.ts";
import { Folder } from "../sqlite/fixture.ts";
import { fill } from "./promote-fixture.ts";
import { steppedFrom, steppedTo } from "./promote-steps.ts";

const TIMEOUT_MS = 120_000;

/** What the file holds; the hash and keys that expire depend on the time. */
const WHOLE = { queues: 3, items: 68, batches: 5, dead: 4 };

/** The target as if nothing had ever been added to it. */
async function unused(pool: pg.Pool): Promise<void> {
  await emptyTables(pool);
  await pool.query("DELETE FROM batchwork.promotions");
  await pool.query("ALTER SEQUENCE batchwork.chunk_ids RESTART");
}

/** True when an engine can work on the file, false when it is told that the work is elsewhere. */
async function isUsable(path: string): Promise<boolean> {
  const storage = sqlite({ path });
  try {
    await storage.open({ clock: systemClock });
    await storage.enroll(1);
    return true;
  } catch (error) {
    if (hasCode(error, "STORAGE_MOVED")) return false;
    throw error;
  } finally {
    await storage.close();
  }
}

async function rows(pool: pg.Pool, table: string): Promise<number> {
  const found = await pool.query<{ n: number }>(
    `SELECT count(*)::int AS n FROM batchwork.${table}`,
  );
  return found.rows[0]?.n as number;
}

describePostgres("a promotion that is interrupted", () => {
  const { pool, url } = testDatabase();

  /** A file with work in every state. */
  async function source(name: string): Promise<string> {
    const { path, clock } = await Folder.make();
    await fill(path, clock);
    const copy = join(path, "..", `${name}.db`);
    copyFileSync(path, copy);
    return copy;
  }

  /** What there is after an interruption is safe, and promoting again completes it. */
  async function recovers(options: PromoteOptions, path: string, at: string): Promise<void> {
    const usable = await isUsable(path);
    const complete = (await rows(pool, "promotions")) > 0;
    expect(usable && complete, `${at}: both sides hold the work`).toBe(false);
    expect((await rows(pool, "payloads")) > 0, at).toBe(complete);
    expect(await promote(options), at).toMatchObject(WHOLE);
    expect(await isUsable(path), at).toBe(false);
    expect(await rows(pool, "promotions"), at).toBe(1);
  }

  test(
    "by an error at any step goes on when it is called again",
    { timeout: TIMEOUT_MS },
    async () => {
      const steps: string[] = [];
      const note = (name: string): void => void steps.push(name);
      await unused(pool);
      const whole = await source("steps");
      const to = postgres({ pool });
      await promote({
        from: steppedFrom(sqlite({ path: whole }), note),
        to: steppedTo(to, note),
      });
      expect(steps).toContain("markMoving done");
      const original = await source("original");
      for (const at of new Set(steps)) {
        await unused(pool);
        const path = original.replace("original", at.replace(" ", "-"));
        copyFileSync(original, path);
        const from = sqlite({ path });
        let interrupted = false;
        const step = (name: string): void => {
          if (interrupted || name !== at) return;
          interrupted = true;
          throw new Error("fault");
        };
        const options = { from: steppedFrom(from, step), to: steppedTo(to, step) };
        await promote(options).then(
          (report) => expect(report, at).toMatchObject(WHOLE),
          (error: unknown) => expect(String(error), at).toContain("fault"),
        );
        await recovers({ from, to }, path, at);
      }
    },
  );

  test.each(["receive", "complete done", "markMoving done", "receive done", "markMoved done"])(
    "by SIGKILL at %s goes on when it is called again",
    { timeout: TIMEOUT_MS },
    async (at) => {
      await unused(pool);
      const path = await source("killed");
      const program = fileURLToPath(new URL("promote-killed.ts", import.meta.url));
      const child = spawn(process.execPath, [program, path, url, at], { stdio: "inherit" });
      const [, signal] = (await once(child, "exit")) as [number | null, string | null];
      expect(signal).toBe("SIGKILL");
      const [usable, complete] = {
        "markMoving done": [false, false],
        "receive done": [false, true],
        "markMoved done": [false, true],
      }[at] ?? [true, false];
      expect(await isUsable(path)).toBe(usable);
      // The server may still be ending what the process left open.
      await expect.poll(async () => openTransactions(pool)).toBe(0);
      expect(await rows(pool, "promotions")).toBe(complete ? 1 : 0);
      await recovers({ from: sqlite({ path }), to: postgres({ pool }) }, path, at);
    },
  );

  test("by a reply to the commit that is lost knows that it was committed", async () => {
    await unused(pool);
    const path = await source("lost-reply");
    const lossy = poolThat(pool, async (commit) => {
      await commit();
      throw new Error("the connection was cut");
    });
    const report = await promote({ from: sqlite({ path }), to: postgres({ pool: lossy }) });
    expect(report).toMatchObject(WHOLE);
    expect(await isUsable(path)).toBe(false);
  });

  test("by a commit that is lost leaves the source usable", async () => {
    await unused(pool);
    const path = await source("lost-commit");
    const lossy = poolThat(pool, async () => {
      throw new Error("the connection was cut");
    });
    const options = { from: sqlite({ path }), to: postgres({ pool: lossy }) };
    await expect(promote(options)).rejects.toMatchObject({ code: "STORAGE_FAILED" });
    expect(await isUsable(path)).toBe(true);
    await recovers({ ...options, to: postgres({ pool }) }, path, "afterwards");
  });
});

test("a mark that is deleted by hand is no mark", async () => {
  const { path, clock } = await Folder.make();
  await fill(path, clock);
  const source = await sqlite({ path }).promotionSource(systemClock);
  await source.markMoving({ id: "gone", name: "a database that is gone" });
  await source.close();
  expect(await isUsable(path)).toBe(false);
  const handle = new DatabaseSync(path);
  handle.exec("DELETE FROM batchwork_moved");
  handle.close();
  expect(await isUsable(path)).toBe(true);
});

async function openTransactions(pool: pg.Pool): Promise<number> {
  const found = await pool.query<{ n: number }>(
    "SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = current_database() " +
      "AND state <> 'idle' AND pid <> pg_backend_pid()",
  );
  return found.rows[0]?.n as number;
}

/** The pool, with something else for the first commit of a promotion. */
function poolThat(
  pool: pg.Pool,
  instead: (commit: () => Promise<unknown>) => Promise<never>,
): PostgresPool {
  let copied = false;
  return {
    query: async (query) => pool.query(query as pg.QueryConfig),
    connect: async () => {
      const client = await pool.connect();
      return {
        query: async (query) => {
          const commit = async (): Promise<pg.QueryResult> => client.query(query as pg.QueryConfig);
          if (query.text.includes("promotions SET report")) copied = true;
          if (query.text !== "COMMIT" || !copied) return commit();
          copied = false;
          return instead(commit);
        },
        release: (error) => client.release(error),
      };
    },
  };
}
