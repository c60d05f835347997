/** The process of one measurement on PostgreSQL: runs one row once and prints one line of JSON. */
import { argv, stdout } from "node:process";
import type { ChildRequest } from "../harness/child.ts";
import { caseNamed } from "./registry.ts";

const request = JSON.parse(argv[2] ?? "null") as ChildRequest;
const { databases, items } = request;
if (databases === undefined) throw new Error("no databases were given");
const { load, warmUp } = caseNamed(request.name);
const run = await load();
if (warmUp > 0) {
  await run({ ...request, database: databases.warmUp, items: Math.min(warmUp, items) });
}
const result = await run({ ...request, database: databases.measured });
stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
