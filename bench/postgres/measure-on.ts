/** The rounds on PostgreSQL: each run of a row gets databases as well as a process. */
import { fileURLToPath } from "node:url";
import { measure, type MeasureOptions } from "../harness/measure.ts";
import { runCase, type Run, type RunOptions } from "../harness/spawn.ts";
import type { PostgresCase } from "./registry.ts";
import type { WithDatabases } from "./server.ts";

const CHILD = fileURLToPath(new URL("child.ts", import.meta.url));

/** Runs the rows: each warms up in a database it keeps, and is measured in one that is new. */
export async function measureOn(
  withDatabases: WithDatabases,
  cases: readonly PostgresCase[],
  options: Omit<MeasureOptions, "cases" | "run">,
): Promise<Map<string, Run[]>> {
  return withDatabases(cases.length, async (urls) => {
    const warmUps = new Map(cases.map(({ name }, index) => [name, urls[index] ?? ""]));
    const run = async (row: RunOptions): Promise<Run> =>
      withDatabases(1, async ([measured = ""]) => {
        const databases = { warmUp: warmUps.get(row.name) ?? "", measured };
        return runCase({ ...row, script: CHILD, databases });
      });
    return measure({ ...options, cases, run });
  });
}
