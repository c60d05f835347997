/** The rows on Redis: what they say of it, and one tiny real run of each where there is one. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runnable, skippedText } from "../harness/runnable.ts";
import { runCase } from "../harness/spawn.ts";
import { CASES } from "./registry.ts";
import { durabilityOf, redisMissing } from "./server.ts";

const CHILD = fileURLToPath(new URL("../pool/child.ts", import.meta.url));
const ITEMS = 600;
/** A run starts several processes, and may share the machine with many others. */
const PATIENCE_MS = 120_000;

let root = "";
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "batchwork-bench-"));
});

afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

test.skipIf(redisMissing() !== undefined).each([
  ["bullmq", /snapshots only: .* lost/v],
  ["bullmq-fsync", /appendfsync=always: on disk/v],
])(
  "%s delivers every item once, and says what a power failure costs",
  async (name, durability) => {
    const run = await runCase({ name, items: ITEMS, rounds: 1, root, script: CHILD });
    expect(run).toMatchObject({
      result: {
        items: ITEMS,
        durability: expect.stringMatching(durability) as string,
        server: { walBytes: null, cpuMs: expect.any(Number) as number },
      },
    });
  },
  PATIENCE_MS,
);

test("where there is no Redis its rows are left out by name, and the others stay", () => {
  const missing = (): string | undefined => redisMissing("/nowhere");
  const { cases, skipped } = runnable([
    { name: "tasks" },
    ...CASES.map(({ name }) => ({ name, missing })),
  ]);
  expect(cases).toEqual([{ name: "tasks" }]);
  const why = "there is no redis-server on the PATH";
  expect(skipped).toEqual({ bullmq: why, "bullmq-fsync": why });
  expect(skippedText(skipped)).toBe(`skipped: bullmq: ${why}\nskipped: bullmq-fsync: ${why}\n`);
});

test.each([
  [{ appendonly: "yes", appendfsync: "always" }, "on disk at each answer"],
  [{ appendonly: "yes", appendfsync: "everysec" }, "the last second is lost"],
  [{ appendonly: "yes", appendfsync: "no" }, "what the kernel still holds is lost"],
  [{ appendonly: "no", save: "3600 1" }, "snapshots only: all since the last one is lost"],
  [{ appendonly: "no", save: "" }, "in memory only: everything is lost"],
])("the settings %o of a Redis mean: %s", (settings, durability) => {
  expect(durabilityOf(new Map(Object.entries(settings)))).toContain(durability);
});
