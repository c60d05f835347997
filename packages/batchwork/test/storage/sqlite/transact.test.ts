import { expect, test } from "vitest";

import type { SqliteHandle, SqliteTx } from "../../../src/storage/sqlite/index.ts";
import type { ClaimedBatch } from "../../../src/storage/storage.ts";
import { contents, DONE, Folder, type Desk } from "./fixture.ts";

/** A desk with a table of the user's beside it, and one claimed batch. */
async function claimed(
  options?: { readonly database: SqliteHandle },
  folder?: Folder,
): Promise<{ folder: Folder; desk: Desk; lease: ClaimedBatch }> {
  const made = folder ?? (await Folder.make());
  const desk = await made.desk(options);
  const handle = made.handle();
  handle.exec("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT UNIQUE)");
  await desk.add("a", "b");
  return { folder: made, desk, lease: await desk.claimOne() };
}

async function transact<R>(
  { storage }: Desk,
  lease: ClaimedBatch,
  run: (tx: SqliteTx) => R,
): Promise<R> {
  return storage.transact({ lease, run, outcome: () => DONE });
}

function notes(folder: Folder): number {
  return folder.number("SELECT count(*) FROM notes");
}

test("effects and acknowledgement commit together", async () => {
  const { folder, desk, lease } = await claimed();
  const read = await transact(desk, lease, (tx) => {
    const insert = tx.prepare("INSERT INTO notes (text) VALUES (?)");
    insert.run("one");
    insert.run("two");
    tx.exec("UPDATE notes SET text = text || '!'");
    const all = tx.prepare("SELECT text FROM notes ORDER BY id");
    return { rows: all.all(), first: all.get(), again: [...all.iterate()] };
  });
  expect(read.rows.map((row) => ({ ...(row as object) }))).toEqual([
    { text: "one!" },
    { text: "two!" },
  ]);
  expect(read.first).toEqual(read.rows[0]);
  expect(read.again).toEqual(read.rows);
  expect(notes(folder)).toBe(2);
  expect(await desk.settle(lease)).toBe("settled");
  expect(await desk.claim()).toEqual([]);
});

test("a throw rolls back the effects, and the batch is still held", async () => {
  const { folder, desk, lease } = await claimed();
  const failure = new RangeError("no");
  const failing = transact(desk, lease, (tx) => {
    tx.exec("INSERT INTO notes (text) VALUES ('gone')");
    throw failure;
  });
  await expect(failing).rejects.toBe(failure);
  expect(notes(folder)).toBe(0);
  expect(await desk.settle(lease)).toBe("settled");
});

test("an error of the user's own SQL is passed on as it is, and not tried again", async () => {
  const { desk, lease } = await claimed();
  let runs = 0;
  const failing = transact(desk, lease, (tx) => {
    runs++;
    tx.exec("INSERT INTO nowhere VALUES (1)");
  });
  await expect(failing).rejects.toThrow("no such table");
  expect(runs).toBe(1);
});

test("a function that returns a promise is rolled back", async () => {
  const { folder, desk, lease } = await claimed();
  const failing = transact(desk, lease, async (tx) => {
    tx.exec("INSERT INTO notes (text) VALUES ('early')");
    await Promise.resolve();
    tx.exec("INSERT INTO notes (text) VALUES ('late')");
  });
  await expect(failing).rejects.toMatchObject({ code: "TX_ASYNC" });
  expect(notes(folder)).toBe(0);
  expect(await desk.settle(lease)).toBe("settled");
});

test("a tx and its statements are of no use after the transaction", async () => {
  const { folder, desk, lease } = await claimed();
  const kept = await transact(desk, lease, (tx) => {
    const insert = tx.prepare("INSERT INTO notes (text) VALUES (?)");
    return { tx, insert, select: tx.prepare("SELECT * FROM notes") };
  });
  const uses = [
    () => kept.tx.exec("DELETE FROM notes"),
    () => kept.tx.prepare("SELECT 1"),
    () => kept.insert.run("late"),
    () => kept.select.get(),
    () => kept.select.all(),
    () => kept.select.iterate(),
    () => desk.storage.appendInside(kept.tx, [desk.chunk(["late"])]),
  ];
  for (const use of uses) expect(use).toThrow(expect.objectContaining({ code: "TX_OVER" }));
  expect(notes(folder)).toBe(0);
});

test.each(["COMMIT", "rollback;", "/* x */ END", "BEGIN", "SAVEPOINT s", "SELECT 1; COMMIT"])(
  "%s is refused inside, and nothing is kept",
  async (sql) => {
    const { folder, desk, lease } = await claimed();
    for (const way of ["exec", "prepare"] as const) {
      const failing = transact(desk, lease, (tx) => {
        tx.exec("INSERT INTO notes (text) VALUES ('gone')");
        tx[way](sql);
      });
      await expect(failing).rejects.toMatchObject({ code: "TX_OVER", value: sql });
    }
    expect(notes(folder)).toBe(0);
    expect(await desk.settle(lease)).toBe("settled");
  },
);

test("a transaction that the user's handle ends behind our back is found out", async () => {
  const folder = await Folder.make();
  const database = folder.handle();
  const { desk, lease } = await claimed({ database }, folder);
  for (const sql of ["ROLLBACK", "COMMIT; BEGIN"]) {
    const failing = transact(desk, lease, () => database.exec(sql));
    await expect(failing).rejects.toMatchObject({ code: "TX_OVER" });
    expect(database.isTransaction).toBe(false);
  }
  expect(await desk.settle(lease)).toBe("settled");
});

test("after SQLite has rolled back by itself, nothing more is written", async () => {
  const { folder, desk, lease } = await claimed();
  const failing = transact(desk, lease, (tx) => {
    tx.exec("INSERT INTO notes (text) VALUES ('same')");
    try {
      tx.exec("INSERT OR ROLLBACK INTO notes (text) VALUES ('same')");
    } catch {
      // Careless code goes on as if nothing had happened.
    }
    tx.exec("INSERT INTO notes (text) VALUES ('alone')");
  });
  await expect(failing).rejects.toMatchObject({ code: "TX_OVER" });
  expect(notes(folder)).toBe(0);
});

test("it waits for the write lock, and the function runs once", async () => {
  const { folder, desk, lease } = await claimed();
  const other = folder.handle();
  other.exec("BEGIN IMMEDIATE");
  let runs = 0;
  const running = transact(desk, lease, () => ++runs);
  await folder.clock.advance(200);
  expect(runs).toBe(0);
  other.exec("COMMIT");
  await folder.clock.advance(15);
  expect(await running).toBe(1);
});

/** A handle on the file whose next `COMMIT` fails, before or after it has happened. */
function failingCommit(folder: Folder): {
  readonly database: SqliteHandle;
  fail: "before" | "after" | "never";
} {
  const handle = folder.handle();
  const failing = {
    fail: "never" as "before" | "after" | "never",
    database: {
      exec: (sql: string) => {
        const { fail } = failing;
        const faulty = sql === "COMMIT" && fail !== "never";
        if (!faulty || fail === "after") handle.exec(sql);
        if (!faulty) return;
        failing.fail = "never";
        throw new Error("disk I/O error");
      },
      prepare: (sql: string) => handle.prepare(sql),
      get isTransaction() {
        return handle.isTransaction;
      },
    },
  };
  return failing;
}

test("a commit that happened though it was reported as failed resolves", async () => {
  const folder = await Folder.make();
  const failing = failingCommit(folder);
  const { desk, lease } = await claimed({ database: failing.database }, folder);
  failing.fail = "after";
  const result = await transact(desk, lease, (tx) => {
    tx.exec("INSERT INTO notes (text) VALUES ('kept')");
    return "done";
  });
  expect(result).toBe("done");
  expect(notes(folder)).toBe(1);
  expect(await desk.settle(lease)).toBe("settled");
});

test("a commit that failed is a failure, and the batch is still held", async () => {
  const folder = await Folder.make();
  const failing = failingCommit(folder);
  const { desk, lease } = await claimed({ database: failing.database }, folder);
  failing.fail = "before";
  const refused = transact(desk, lease, (tx) => {
    tx.exec("INSERT INTO notes (text) VALUES ('gone')");
  });
  await expect(refused).rejects.toMatchObject({ code: "STORAGE_FAILED" });
  expect(notes(folder)).toBe(0);
  expect((await desk.storage.running(desk.queue)).map(({ batch }) => batch)).toEqual([lease.batch]);
  await transact(desk, lease, (tx) => tx.exec("INSERT INTO notes (text) VALUES ('kept')"));
  expect(notes(folder)).toBe(1);
});

test("an exchange whose commit failed changed nothing", async () => {
  const folder = await Folder.make();
  const failing = failingCommit(folder);
  const desk = await folder.desk({ database: failing.database });
  await desk.add("a");
  failing.fail = "before";
  await expect(desk.claim()).rejects.toMatchObject({ code: "STORAGE_FAILED" });
  expect(contents(await desk.claim())).toEqual(["a"]);
});
