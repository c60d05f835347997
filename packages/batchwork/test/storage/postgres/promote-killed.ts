/**
 * A promotion that dies: `promote-killed.ts <file> <url> <step>` kills its own process with SIGKILL
 * when it gets to the step.
 */
import { promote } from "../../../src/promote/promote.ts";
import { postgres } from "../../../src/storage/postgres/index.ts";
import { sqlite } from "../../../src/storage/sqlite/index.ts";
import { steppedFrom, steppedTo } from "./promote-steps.ts";

const [path, connectionString, fatal] = process.argv.slice(2) as [string, string, string];

function step(name: string): void {
  if (name === fatal) process.kill(process.pid, "SIGKILL");
}

await promote({
  from: steppedFrom(sqlite({ path }), step),
  to: steppedTo(postgres({ connectionString }), step),
});
