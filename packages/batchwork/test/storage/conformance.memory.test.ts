import { describe, test } from "vitest";

import { memory } from "../../src/storage/memory/index.ts";
import { storageConformance } from "../../src/testing/conformance.ts";
import { ManualClock } from "../../src/testing/manual-clock.ts";

for (const payload of ["text", "reference"] as const) {
  storageConformance({
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
