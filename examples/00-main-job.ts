/**
 * The main job: `npm start` loads a public data set, every city of the world with its country, from
 * an npm package into a SQLite table, in batches per country, and checks the result against the
 * source. One country's batches fail at first, and one record cannot be stored at all.
 *
 * `npm start -- --crash` is killed (SIGKILL) half-way, inside a transaction, starts again on the same
 * file, and ends with the same totals.
 *
 *   --dir <folder>   where work.db is written; default tmp/main-job in the current folder
 */
import { spawn } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { load } from "./main-job/load.ts";
import { count, printDeadLetters, printLoaded, printMatch } from "./main-job/report.ts";
import { countries, source } from "./main-job/source.ts";

const { values: args } = parseArgs({
  options: {
    crash: { type: "boolean", default: false },
    dir: { type: "string", default: join("tmp", "main-job") },
    // The process that `--crash` starts and that dies.
    "die-half-way": { type: "boolean", default: false },
  },
});
const path = join(args.dir, "work.db");

if (args["die-half-way"]) {
  await load({ path, dieAfter: source.length / 2 });
  throw new Error("should have been killed by now");
}

mkdirSync(args.dir, { recursive: true });
for (const file of [path, `${path}-wal`, `${path}-shm`]) rmSync(file, { force: true });
console.log(`${count(source.length)} cities of ${countries.size} countries -> ${path}\n`);
if (args.crash) await runAndBeKilled();

const loaded = await load({ path });
printLoaded(loaded);
printDeadLetters(loaded.letters);
if (!printMatch(loaded)) process.exitCode = 1;

/** Runs the job in a process of its own, which kills itself half-way. */
async function runAndBeKilled(): Promise<void> {
  const options = ["--die-half-way", "--dir", args.dir];
  const child = spawn(process.execPath, [...process.execArgv, import.meta.filename, ...options], {
    stdio: "inherit",
  });
  const { promise, resolve } = Promise.withResolvers<string | null>();
  child.once("exit", (_code, signal) => resolve(signal));
  const signal = await promise;
  if (signal !== "SIGKILL") throw new Error("the first process was to be killed and was not");
  console.log("\nKilled by SIGKILL, inside a transaction. Starting again on the same file.\n");
}
