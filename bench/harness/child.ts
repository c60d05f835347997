/** The process of one measurement: runs one row once and prints one line of JSON. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { argv, stdout } from "node:process";
import { caseNamed } from "../cases/registry.ts";
import type { CaseContext } from "./case.ts";

/** The only argument, as JSON. */
export interface ChildRequest extends CaseContext {
  readonly name: string;
  /** Only of rows on PostgreSQL. The one that is measured is empty. */
  readonly databases?: { readonly warmUp: string; readonly measured: string };
}

const request = JSON.parse(argv[2] ?? "null") as ChildRequest;
const { load, warmUp } = caseNamed(request.name);
const run = await load();
if (warmUp > 0) {
  const items = Math.min(warmUp, request.items);
  await run({ directory: subdirectory("warm-up"), items, rounds: 1 });
}
const result = await run({ ...request, directory: subdirectory("measured") });
stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));

function subdirectory(name: string): string {
  const path = join(request.directory, name);
  mkdirSync(path);
  return path;
}
