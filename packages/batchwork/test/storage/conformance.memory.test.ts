import { describe, expect, test } from "vitest";

import { memory } from "../../src/storage/memory/index.ts";
import { storageConformance } from "../../src/testing/conformance.ts";
import { ManualClock } from "../../src/testing/manual-clock.ts";

function conformance(payload: "text" | "reference"): number {
  return storageConformance({
    name: `memory, payload ${payload}`,
    describe,
    test,
    open: async () => {
      const storage = memory({ payload });
      return {
        storage,
        clock: new ManualClock(),
        second: async () => storage.view(),
        close: async () => storage.close(),
      };
    },
  });
}

const counts = [conformance("text"), conformance("reference")];

test("both ways of keeping items are held to every case", () => {
  for (const count of counts) expect(count).toBeGreaterThan(190);
});
