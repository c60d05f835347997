import { DatabaseSync } from "node:sqlite";

import { describe, expect, test } from "vitest";

import { memory } from "../../src/storage/memory/index.ts";
import { sqlite } from "../../src/storage/sqlite/index.ts";
import { campaign } from "./pool-campaign.ts";

const SEEDS = Array.from({ length: 15 }, (_, seed) => seed);

describe("whatever processes do, each task ends once, is told of once, and limits hold", () => {
  test.each(SEEDS)("in memory, seed %i", async (seed) => {
    const storage = memory({ payload: "text" });
    await campaign(() => [storage, storage.view(), storage.view()], seed, 300);
    expect(storage.payload).toBe("text");
  });

  test.each(SEEDS)("on SQLite, seed %i", async (seed) => {
    const database = new DatabaseSync(":memory:");
    const storage = sqlite({ database, durability: "relaxed" });
    await campaign(() => [storage, storage, storage], seed, 300);
    for (const table of ["slices", "serial_keys", "cancels", "chunks", "payloads"]) {
      const left = database.prepare(`SELECT * FROM batchwork_${table}`).all();
      // The row of the empty key stays.
      expect(
        left.filter(({ key }) => key !== ""),
        table,
      ).toEqual([]);
    }
    database.close();
  });
});
