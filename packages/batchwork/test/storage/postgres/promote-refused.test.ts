/** When a promotion is refused: nothing has changed on either side. */
import { existsSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import type pg from "pg";
import { expect, onTestFinished, test } from "vitest";

import { promote, type PromoteOptions } from "../../../src/promote/promote.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { postgres } from "../../../src/storage/postgres/index.ts";
import { sqlite } from "../../../src/storage/sqlite/index.ts";
import { describePostgres, testDatabase } from "../../postgres/database.ts";
import { Folder } from "../sqlite/fixture.ts";
import { chunkOf, claimOf, LEASE_MS, opened, queueOf } from "./fixture.ts";
import { fill } from "./promote-fixture.ts";

/** A file with work in every state. */
async function filled(): Promise<string> {
  const { path, clock } = await Folder.make();
  await fill(path, clock);
  return path;
}

/** Everything in the file, table by table, but the clock. */
function contentOf(path: string): Record<string, unknown[]> {
  const handle = new DatabaseSync(path, { readOnly: true });
  const tables = handle.prepare("SELECT name FROM sqlite_schema WHERE type <> 'index'").all();
  const content: Record<string, unknown[]> = {};
  for (const table of tables as { name: string }[]) {
    const { name } = table;
    content[name] = name.endsWith("_clock") ? [] : handle.prepare(`SELECT * FROM ${name}`).all();
  }
  handle.close();
  return content;
}

describePostgres("promote refuses", () => {
  const { pool } = testDatabase();
  let schemas = 0;

  /** A target of its own, and what is in it. */
  function target(): { readonly to: ReturnType<typeof postgres>; readonly schema: string } {
    const schema = `target_${schemas++}`;
    onTestFinished(async () => {
      await pool.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
    });
    return { to: postgres({ pool, schema }), schema };
  }

  test("a source on which a process works, until it has stopped", async () => {
    const path = await filled();
    const storage = sqlite({ path });
    await storage.open({ clock: systemClock });
    const incarnation = await storage.enroll(LEASE_MS);
    const { to, schema } = target();
    await expect(promote({ from: sqlite({ path }), to })).rejects.toMatchObject({
      code: "PROMOTE_SOURCE_BUSY",
      field: "from",
    });
    await storage.heartbeat(incarnation, LEASE_MS);
    await storage.retire(incarnation);
    expect(await promote({ from: storage, to })).toMatchObject({ items: 68 });
    expect(await count(pool, `${schema}.payloads`)).toBeGreaterThan(0);
    await storage.close();
  });

  test("a source whose write lock is taken", async () => {
    const path = await filled();
    const other = new DatabaseSync(path);
    other.exec("BEGIN IMMEDIATE");
    const from = sqlite({ path, busyTimeoutMs: 0 });
    await expect(promote({ from, to: target().to })).rejects.toMatchObject({
      code: "STORAGE_BUSY",
    });
    other.close();
  });

  test("a target to which items were ever added", async () => {
    const path = await filled();
    const before = contentOf(path);
    const used = await opened(pool);
    const queue = await queueOf(used, "elsewhere");
    await used.append([chunkOf(queue, ["old"])]);
    const incarnation = await used.enroll(LEASE_MS);
    const { claimed } = await used.exchange(claimOf(incarnation, queue));
    const settlements = claimed.map(({ batch, token }) => {
      return { batch, token, outcome: { kind: "done" } as const };
    });
    await used.exchange({ incarnation, settlements, claims: [], alone: false });
    await used.retire(incarnation);
    await expect(promote({ from: sqlite({ path }), to: postgres({ pool }) })).rejects.toMatchObject(
      { code: "PROMOTE_TARGET_USED", field: "to" },
    );
    expect(contentOf(path)).toEqual(before);
    expect(await count(pool, "batchwork.payloads")).toBe(0);
  });

  test("nothing: no file, no tables, no file at all", async () => {
    const { path } = await Folder.make();
    const missing = join(path, "..", "missing.db");
    const plain = join(path, "..", "plain.db");
    const handle = new DatabaseSync(plain);
    handle.exec("CREATE TABLE mine (id INTEGER)");
    handle.close();
    const memory = sqlite({ path: ":memory:", durability: "relaxed" });
    for (const from of [sqlite({ path: missing }), sqlite({ path: plain }), memory]) {
      await expect(promote({ from, to: target().to })).rejects.toMatchObject({
        code: "OPTION_INVALID",
        field: "from",
      });
    }
    expect(existsSync(missing)).toBe(false);
  });

  test.each([
    ["changes an item", "payloads", "NEW.data := replace(NEW.data, 'late', 'LATE'); RETURN NEW"],
    [
      "loses an item that waits",
      "inbox",
      "IF NEW.grp = 'later' THEN RETURN NULL; END IF; RETURN NEW",
    ],
    ["changes an attempt", "batches", "NEW.attempt := NEW.attempt + 1; RETURN NEW"],
    ["moves an item to another batch", "members", "NEW.batch := NEW.batch + 1; RETURN NEW"],
    ["forgets a dead letter", "dead", "IF NEW.id = 1 THEN RETURN NULL; END IF; RETURN NEW"],
    ["forgets a key", "keys", "RETURN NULL"],
    ["changes a result", "results", "NEW.value := '1'; RETURN NEW"],
  ])("to commit when the target %s", async (_title, table, body) => {
    const path = await filled();
    const before = contentOf(path);
    const { to, schema } = target();
    await to.open({ clock: systemClock });
    await to.close();
    await pool.query(`CREATE FUNCTION ${schema}.meddle() RETURNS trigger LANGUAGE plpgsql
      AS $$ BEGIN ${body}; END $$`);
    await pool.query(`CREATE TRIGGER meddle BEFORE INSERT ON ${schema}.${table}
      FOR EACH ROW EXECUTE FUNCTION ${schema}.meddle()`);
    await expect(promote({ from: sqlite({ path }), to })).rejects.toMatchObject({
      code: "PROMOTE_MISMATCH",
      field: "to",
    });
    expect(contentOf(path)).toEqual(before);
    expect(await count(pool, `${schema}.payloads`)).toBe(0);
    await pool.query(`DROP TRIGGER meddle ON ${schema}.${table}`);
    expect(await promote({ from: sqlite({ path }), to })).toMatchObject({ items: 68, dead: 4 });
  });

  test("what cannot be moved from or to", async () => {
    const { path } = await Folder.make();
    const [from, to] = [sqlite({ path }), postgres({ pool })];
    const wrong: [unknown, string][] = [
      [{ from: to, to }, "from"],
      [{ from, to: from }, "to"],
      [{ to }, "from"],
      [{ from: null, to }, "from"],
    ];
    for (const [options, field] of wrong) {
      await expect(promote(options as PromoteOptions)).rejects.toMatchObject({
        code: "OPTION_INVALID",
        field,
      });
    }
  });

  test("a source that contradicts itself", async () => {
    const path = await filled();
    const handle = new DatabaseSync(path);
    handle.exec("UPDATE batchwork_chunks SET live = live + 1 WHERE id = 4");
    handle.close();
    await expect(promote({ from: sqlite({ path }), to: target().to })).rejects.toMatchObject({
      code: "PROMOTE_MISMATCH",
      field: "from",
    });
  });
});

async function count(pool: pg.Pool, table: string): Promise<number> {
  const { rows } = await pool.query<{ n: number }>(`SELECT count(*)::int AS n FROM ${table}`);
  return rows[0]?.n as number;
}
