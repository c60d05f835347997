import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, test } from "vitest";

import { sqlite } from "../../src/storage/sqlite/index.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { storageConformance } from "../../src/testing/conformance.ts";
import { ManualClock } from "../../src/testing/manual-clock.ts";

const count = storageConformance({
  name: "sqlite, one file",
  describe,
  test,
  open: async () => {
    const folder = await mkdtemp(join(tmpdir(), "batchwork-conformance-"));
    const path = join(folder, "work.db");
    const storages: Storage[] = [];
    const another = (): Storage => {
      const storage = sqlite({ path });
      storages.push(storage);
      return storage;
    };
    return {
      storage: another(),
      clock: new ManualClock(),
      second: async () => another(),
      close: async () => {
        for (const storage of storages) await storage.close();
        await rm(folder, { recursive: true, force: true });
      },
    };
  },
});

test("a file is held to every case", () => {
  expect(count).toBeGreaterThan(190);
});
