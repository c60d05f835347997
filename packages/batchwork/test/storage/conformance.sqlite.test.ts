import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import Database from "better-sqlite3";
import { describe, expect, test } from "vitest";

import { sqlite } from "../../src/storage/sqlite/index.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { storageConformance } from "../../src/testing/conformance.ts";
import { ManualClock } from "../../src/testing/manual-clock.ts";

/** How a storage is had on a file, and what is closed after it. */
type Connect = (path: string) => { readonly storage: Storage; readonly close?: () => unknown };

const DRIVERS: Readonly<Record<string, Connect>> = {
  "sqlite, one file": (path) => ({ storage: sqlite({ path }) }),
  "sqlite, handles of better-sqlite3": (path) => {
    const database = new Database(path);
    return { storage: sqlite({ database }), close: () => database.close() };
  },
};

const counts = Object.entries(DRIVERS).map(([name, connect]) =>
  storageConformance({
    name,
    describe,
    test,
    open: async () => {
      const folder = await mkdtemp(join(tmpdir(), "batchwork-conformance-"));
      const path = join(folder, "work.db");
      const connections: ReturnType<Connect>[] = [];
      const another = (): Storage => {
        const connection = connect(path);
        connections.push(connection);
        return connection.storage;
      };
      return {
        storage: another(),
        clock: new ManualClock(),
        second: async () => another(),
        close: async () => {
          for (const { storage, close } of connections) {
            await storage.close();
            close?.();
          }
          await rm(folder, { recursive: true, force: true });
        },
      };
    },
  }),
);

test("files are held to every case, whatever driver opens them", () => {
  for (const count of counts) expect(count).toBeGreaterThan(190);
});
