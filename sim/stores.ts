/** The storage that the processes of a run share, and the effects that handlers write to it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

import type { Facade, Storage } from "batchwork";
import { memory, type MemoryTx } from "batchwork/memory";
import { sqlite } from "batchwork/sqlite";

export interface Store {
  /** A door of its own for one more process. */
  open(): Door;
  /** Notes an effect of each item inside the transaction. */
  writeEffects(tx: Facade, uids: readonly number[]): void;
  /** Committed effects of one item. */
  effectsOf(uid: number): number;
  /** Committed effects of all items. */
  effects(): number;
  /** Ends the run. */
  close(): void;
}

/** How one process gets at the shared data. */
export interface Door {
  readonly storage: Storage;
  /** The process is gone, and so is its connection. */
  slam(): void;
}

/** A store for one run. */
export function openStore(kind: "memory" | "sqlite"): Store {
  return kind === "memory" ? memoryStore() : sqliteStore();
}

/** All processes share one memory; effects are what `onCommit` did. */
function memoryStore(): Store {
  const shared = memory({ payload: "text" });
  const effects = new Map<number, number>();
  let total = 0;
  return {
    open: () => ({ storage: shared.view(), slam: () => undefined }),
    writeEffects: (tx, uids) => {
      (tx as unknown as MemoryTx).onCommit(() => {
        for (const uid of uids) effects.set(uid, (effects.get(uid) ?? 0) + 1);
        total += uids.length;
      });
    },
    effectsOf: (uid) => effects.get(uid) ?? 0,
    effects: () => total,
    close: () => undefined,
  };
}

/**
 * A file of its own, a connection for each process, and effects as rows beside the engine's tables.
 * Power is never cut here, so nothing waits for the disk.
 */
function sqliteStore(): Store {
  const directory = mkdtempSync(join(tmpdir(), "batchwork-sim-"));
  const path = join(directory, "sim.db");
  const connect = (): DatabaseSync => {
    const handle = new DatabaseSync(path);
    handle.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA busy_timeout = 0");
    return handle;
  };
  const own = connect();
  own.exec(
    "CREATE TABLE effects (uid INTEGER NOT NULL); CREATE INDEX effects_uid ON effects (uid)",
  );
  const one = own.prepare("SELECT count(*) AS count FROM effects WHERE uid = ?");
  const all = own.prepare("SELECT count(*) AS count FROM effects");
  const doors = new Set<DatabaseSync>([own]);
  return {
    open: () => {
      const handle = connect();
      doors.add(handle);
      const slam = (): void => {
        if (doors.delete(handle)) handle.close();
      };
      return { storage: sqlite({ database: handle, durability: "relaxed" }), slam };
    },
    writeEffects: (tx, uids) => {
      const insert = tx.prepare("INSERT INTO effects (uid) VALUES (?)");
      for (const uid of uids) insert.run(uid);
    },
    effectsOf: (uid) => Number(one.get(uid)?.["count"]),
    effects: () => Number(all.get()?.["count"]),
    close: () => {
      for (const handle of doors) handle.close();
      rmSync(directory, { recursive: true });
    },
  };
}
