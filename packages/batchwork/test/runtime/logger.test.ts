import { expect, test, vi } from "vitest";

import { consoleLogger } from "../../src/runtime/logger.ts";

test("the default logger prints warnings and errors, and nothing else", () => {
  const calls: unknown[][] = [];
  for (const level of ["debug", "info", "log", "warn", "error"] as const) {
    vi.spyOn(console, level).mockImplementation((...text: unknown[]) => {
      calls.push([level, ...text]);
    });
  }
  try {
    consoleLogger.debug("quiet");
    consoleLogger.info("quiet", { a: 1 });
    consoleLogger.warn("slow");
    consoleLogger.error("broken", { batch: 7 });
  } finally {
    vi.restoreAllMocks();
  }
  expect(calls).toEqual([
    ["warn", "[batchwork] slow"],
    ["error", "[batchwork] broken", { batch: 7 }],
  ]);
});
