/**
 * The main job: `npm start` loads a public data set, every city of the world with its country, from
 * an npm package into a table, in batches per country, and checks the result against the source.
 * One country's batches fail at first, and one record cannot be stored at all.
 *
 *   --postgres       on PostgreSQL instead of a SQLite file: the server that DATABASE_URL names,
 *                    else one that is started here and stopped again, of the machine's own or of an
 *                    npm package
 *   --crash          is killed (SIGKILL) half-way, inside a transaction, starts again on the same
 *                    database, and ends with the same totals
 *   --dir <folder>   where work.db is written; default tmp/main-job in the current folder
 */
import { spawn } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startServer } from "../packages/batchwork/test/postgres/server.ts";
import type { OpenDatabase } from "./main-job/database.ts";
import { load } from "./main-job/load.ts";
import { emptyPostgres, openPostgres } from "./main-job/on-postgres.ts";
import { openSqlite } from "./main-job/on-sqlite.ts";
import { count, printDeadLetters, printLoaded, printMatch } from "./main-job/report.ts";
import { countries, source } from "./main-job/source.ts";

const { values: args } = parseArgs({
  options: {
    postgres: { type: "boolean", default: false },
    crash: { type: "boolean", default: false },
    dir: { type: "string", default: join("tmp", "main-job") },
    // The process that `--crash` starts and that dies, and the database it works on.
    "die-half-way": { type: "string" },
  },
});

if (args["die-half-way"] !== undefined) {
  await load(opener(args["die-half-way"]), source.length / 2);
  throw new Error("should have been killed by now");
}

if (args.postgres) {
  const server = await startServer(process.env);
  try {
    await emptyPostgres(server.url);
    await run(server.url, `PostgreSQL (${server.origin})`);
  } finally {
    await server.stop();
  }
} else {
  const path = join(args.dir, "work.db");
  mkdirSync(args.dir, { recursive: true });
  for (const file of [path, `${path}-wal`, `${path}-shm`]) rmSync(file, { force: true });
  await run(path, path);
}

/** How the database at a path, or at a URL, is opened. */
function opener(at: string): OpenDatabase {
  return async () => (args.postgres ? openPostgres(at) : openSqlite(at));
}

async function run(at: string, name: string): Promise<void> {
  console.log(`${count(source.length)} cities of ${countries.size} countries -> ${name}\n`);
  if (args.crash) await runAndBeKilled(at);
  const loaded = await load(opener(at));
  printLoaded(loaded);
  printDeadLetters(loaded.letters);
  if (!printMatch(loaded)) process.exitCode = 1;
}

/** Runs the job in a process of its own, which kills itself half-way. */
async function runAndBeKilled(at: string): Promise<void> {
  const options = ["--die-half-way", at, ...(args.postgres ? ["--postgres"] : [])];
  const child = spawn(process.execPath, [...process.execArgv, import.meta.filename, ...options], {
    stdio: "inherit",
  });
  const { promise, resolve } = Promise.withResolvers<string | null>();
  child.once("exit", (_code, signal) => resolve(signal));
  const signal = await promise;
  if (signal !== "SIGKILL") throw new Error("the first process was to be killed and was not");
  const where = args.postgres ? "database" : "file";
  console.log(`\nKilled by SIGKILL, inside a transaction. Starting again on the same ${where}.\n`);
}
