/** What the benchmark's process measures; its last act is to write the figures to a file. */
import { writeFileSync } from "node:fs";
import { env } from "node:process";
import { expect, test } from "vitest";
import { measure, type Cost } from "./scenario.ts";

test("every workload runs to its end", { timeout: 600_000 }, async () => {
  const rows: Record<string, Cost> = {};
  const scenarios =
    env["BENCH_CONVEX"] === "peers"
      ? await (await import("./peers.ts")).peerScenarios()
      : await (await import("./ours.ts")).ourScenarios();
  for (const [name, scenario] of Object.entries(scenarios)) rows[name] = await measure(scenario);
  writeFileSync(env["BENCH_OUT"] as string, JSON.stringify(rows));
  expect(Object.keys(rows)).not.toEqual([]);
});
