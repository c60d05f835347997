/** The process of one measurement of loops: runs one row once and prints one line of JSON. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { argv, stdout } from "node:process";
import type { ChildRequest } from "../harness/child.ts";
import { caseNamed } from "./registry.ts";

const request = JSON.parse(argv[2] ?? "null") as ChildRequest;
const { load, warmUp } = caseNamed(request.name);
const run = await load();
const warmUpItems = Math.min(warmUp, request.items);
if (warmUpItems > 0) {
  await run({ directory: subdirectory("warm-up"), items: warmUpItems, rounds: 1 });
}
const result = await run({ ...request, directory: subdirectory("measured") });
stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));

function subdirectory(name: string): string {
  const path = join(request.directory, name);
  mkdirSync(path);
  return path;
}
