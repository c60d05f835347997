import { expect, test } from "vitest";

import { PostgresStorage } from "../../src/storage/postgres/storage.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { storageConformance } from "../../src/testing/conformance.ts";
import { ManualClock } from "../../src/testing/manual-clock.ts";
import {
  describePostgres,
  emptyTables,
  notifications,
  testDatabase,
} from "../postgres/database.ts";

let cases = 0;

describePostgres("a PostgreSQL server", () => {
  const { pool } = testDatabase();
  const count = storageConformance({
    name: "postgres, one database",
    describe: describePostgres,
    test,
    time: "database",
    transactions: "async",
    news: "announced",
    open: async () => {
      await emptyTables(pool);
      const clock = new ManualClock();
      const start = clock.wallMs();
      const storages: Storage[] = [];
      const another = (): Storage => {
        // The server has one clock, whatever the processes' own say.
        const now = (): number => Math.floor(start + clock.monotonicMs());
        const storage = new PostgresStorage({
          source: { pool },
          schema: "batchwork",
          durability: "full",
          notifications,
          now,
        });
        storages.push(storage);
        return storage;
      };
      return {
        storage: another(),
        clock,
        second: async () => another(),
        close: async () => {
          for (const storage of storages) await storage.close();
        },
      };
    },
  });
  cases = count;
});

test("a server is held to every case", () => {
  expect(cases).toBeGreaterThan(190);
});
