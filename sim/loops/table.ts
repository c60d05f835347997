/** The table that simulated workers process, in the storage that their processes share. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

import type { Facade, Storage } from "batchwork";
import { memory, type MemoryTx } from "batchwork/memory";
import { sqlite } from "batchwork/sqlite";

export interface Table {
  /** A storage of its own for one more process, and what closes its connection. */
  open(): { readonly storage: Storage; readonly slam: () => void };
  insert(id: number): void;
  /** The first rows that wait. */
  take(tx: Facade, limit: number): number[];
  /** Notes an effect of each row, which waits no more. */
  finish(tx: Facade, ids: readonly number[]): void;
  /** These rows wait no more. */
  setAside(tx: Facade, ids: readonly number[]): void;
  /** Committed effects of a row. */
  effectsOf(id: number): number;
  waiting(): number[];
  close(): void;
}

export function openTable(kind: "memory" | "sqlite"): Table {
  return kind === "memory" ? memoryTable() : sqliteTable();
}

function memoryTable(): Table {
  const shared = memory({ payload: "text" });
  const waiting = new Set<number>();
  const effects = new Map<number, number>();
  const atCommit = (tx: Facade, effect: () => void): void => {
    (tx as unknown as MemoryTx).onCommit(effect);
  };
  return {
    open: () => ({ storage: shared.view(), slam: () => undefined }),
    insert: (id) => void waiting.add(id),
    take: (_tx, limit) => [...waiting].slice(0, limit),
    finish: (tx, ids) => {
      atCommit(tx, () => {
        for (const id of ids) {
          waiting.delete(id);
          effects.set(id, (effects.get(id) ?? 0) + 1);
        }
      });
    },
    setAside: (tx, ids) => {
      atCommit(tx, () => {
        for (const id of ids) waiting.delete(id);
      });
    },
    effectsOf: (id) => effects.get(id) ?? 0,
    waiting: () => [...waiting],
    close: () => undefined,
  };
}

/** Power is never cut here, so nothing waits for the disk. */
function sqliteTable(): Table {
  const directory = mkdtempSync(join(tmpdir(), "batchwork-sim-"));
  const path = join(directory, "sim.db");
  const connect = (): DatabaseSync => {
    const handle = new DatabaseSync(path);
    handle.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA busy_timeout = 0");
    return handle;
  };
  const own = connect();
  own.exec("CREATE TABLE work (id INTEGER PRIMARY KEY); CREATE TABLE effects (id INTEGER)");
  const doors = new Set<DatabaseSync>([own]);
  const each = (tx: Facade, sql: string, ids: readonly number[]): void => {
    const statement = tx.prepare(sql);
    for (const id of ids) statement.run(id);
  };
  const idsOf = (rows: unknown[]): number[] => rows.map((row) => (row as { id: number }).id);
  return {
    open: () => {
      const handle = connect();
      doors.add(handle);
      const slam = (): void => {
        if (doors.delete(handle)) handle.close();
      };
      return { storage: sqlite({ database: handle, durability: "relaxed" }), slam };
    },
    insert: (id) => void own.prepare("INSERT INTO work VALUES (?)").run(id),
    take: (tx, limit) => idsOf(tx.prepare("SELECT id FROM work ORDER BY id LIMIT ?").all(limit)),
    finish: (tx, ids) => {
      each(tx, "DELETE FROM work WHERE id = ?", ids);
      each(tx, "INSERT INTO effects VALUES (?)", ids);
    },
    setAside: (tx, ids) => each(tx, "DELETE FROM work WHERE id = ?", ids),
    effectsOf: (id) => {
      const row = own.prepare("SELECT count(*) AS n FROM effects WHERE id = ?").get(id);
      return Number(row?.["n"]);
    },
    waiting: () => idsOf(own.prepare("SELECT id FROM work ORDER BY id").all()),
    close: () => {
      for (const handle of doors) handle.close();
      rmSync(directory, { recursive: true });
    },
  };
}
