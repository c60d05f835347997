import { expect, test } from "vitest";

import { PostgresStorage } from "../../../src/storage/postgres/storage.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import type { ManualClock } from "../../../src/testing/manual-clock.ts";
import { describePostgres, emptyTables, testDatabase } from "../../postgres/database.ts";
import { campaign } from "../pool-campaign.ts";

describePostgres(
  "whatever processes do, each task ends once, is told of once, and limits hold",
  () => {
    const { pool } = testDatabase();

    test.each([0, 1, 2, 3])("on PostgreSQL, seed %i", async (seed) => {
      await emptyTables(pool);
      const open = (clock: ManualClock): Storage[] => {
        const start = clock.wallMs();
        const now = (): number => Math.floor(start + clock.monotonicMs());
        return Array.from(
          { length: 3 },
          () =>
            new PostgresStorage({
              source: { pool },
              schema: "batchwork",
              durability: "full",
              notifications: false,
              now,
            }),
        );
      };
      await campaign(open, seed, 150);
      for (const table of ["slices", "cancels", "payloads", "inbox"]) {
        const { rows } = await pool.query(`SELECT * FROM batchwork.${table}`);
        expect(rows, table).toEqual([]);
      }
    });
  },
);
