/** The process of one measurement of pools: runs one row once and prints one line of JSON. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { argv, stdout } from "node:process";
import type { CaseResult } from "../harness/case.ts";
import type { ChildRequest } from "../harness/child.ts";
import { caseNamed } from "./registry.ts";

const request = JSON.parse(argv[2] ?? "null") as ChildRequest;
const row = caseNamed(request.name);
const warmUpItems = Math.min(row.warmUp, request.items);
const result = row.on === "postgres" ? await onPostgres() : await inDirectory();
stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));

async function inDirectory(): Promise<CaseResult> {
  if (row.on === "postgres") throw new Error("it needs databases");
  const run = await row.load();
  if (warmUpItems > 0) {
    await run({ directory: subdirectory("warm-up"), items: warmUpItems, rounds: 1 });
  }
  return run({ ...request, directory: subdirectory("measured") });
}

async function onPostgres(): Promise<CaseResult> {
  const { databases } = request;
  if (row.on !== "postgres" || databases === undefined) throw new Error("no databases were given");
  const run = await row.load();
  if (warmUpItems > 0) {
    await run({ ...request, database: databases.warmUp, items: warmUpItems });
  }
  return run({ ...request, database: databases.measured });
}

function subdirectory(name: string): string {
  const path = join(request.directory, name);
  mkdirSync(path);
  return path;
}
