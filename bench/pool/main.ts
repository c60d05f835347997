/** `npm run bench -- pool [--quick] [--json] [--only NAME]…`; see ../README.md. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { stderr, stdout } from "node:process";
import { fileURLToPath } from "node:url";
import { describeMachine } from "../harness/machine.ts";
import { measure } from "../harness/measure.ts";
import { runCase, type Run, type RunOptions } from "../harness/spawn.ts";
import { runnable, skippedText } from "../harness/runnable.ts";
import { ratiosTable, rowsTable } from "../harness/table.ts";
import { startBenchServer, type BenchServer } from "../postgres/server.ts";
import { caseNamed, CASES, type PoolCase } from "./registry.ts";
import { report } from "./report.ts";

/** What the command line says. */
export interface PoolArguments {
  readonly quick: boolean;
  readonly json: boolean;
  readonly only: readonly string[];
  /** On the disk that is measured. */
  readonly dir: string;
  readonly profile?: string | undefined;
}

const CHILD = fileURLToPath(new URL("child.ts", import.meta.url));

/** Runs the rows and prints them. Resolves to false when a row failed. */
export async function benchPool(values: PoolArguments): Promise<boolean> {
  const { quick, dir: root, only } = values;
  const all = CASES.filter((row) => !(quick && row.fullOnly === true));
  const { cases, skipped } = runnable(only.length === 0 ? all : only.map(caseNamed));
  stderr.write(skippedText(skipped));
  const rounds = quick ? 3 : 5;
  const machine = describeMachine(root);
  const startedAt = performance.now();
  const withServer = cases.some(({ on }) => on === "postgres");
  const server = withServer ? await startBenchServer(root) : undefined;
  try {
    const runs = await measureAll(cases, server, rounds, values);
    const measured = report(cases, runs);
    const seconds = Math.round((performance.now() - startedAt) / 1000);
    const mode = quick ? "quick" : "full";
    const facts = server === undefined ? {} : { server: server.facts };
    const document = { ...measured, skipped, ...facts, machine, mode, rounds, seconds };
    const text = `${JSON.stringify(document, null, 2)}\n`;
    if (values.json) stdout.write(text);
    else {
      const tables = [rowsTable(cases, measured), ratiosTable(measured), skippedText(skipped)];
      stdout.write(`${tables.join("\n")}\n${JSON.stringify({ ...facts, machine })}\n`);
    }
    if (!quick && only.length === 0) keep(text);
    return Object.values(measured.absolute).every((row) => !("failure" in row));
  } finally {
    await server?.stop();
  }
}

/** Rows on PostgreSQL warm up in a database that they keep, and are measured in a new one. */
async function measureAll(
  cases: readonly PoolCase[],
  server: BenchServer | undefined,
  rounds: number,
  { quick, dir: root, profile }: PoolArguments,
): Promise<Map<string, Run[]>> {
  const measured = async (warmUps: ReadonlyMap<string, string>): Promise<Map<string, Run[]>> => {
    const run = async (row: RunOptions): Promise<Run> => {
      const warmUp = warmUps.get(row.name);
      if (warmUp === undefined || server === undefined) return runCase({ ...row, script: CHILD });
      return server.withDatabases(1, async ([database = ""]) =>
        runCase({ ...row, script: CHILD, databases: { warmUp, measured: database } }),
      );
    };
    const options = { cases, rounds, quick, root, run, progress: say };
    return measure(profile === undefined ? options : { ...options, profile });
  };
  if (server === undefined) return measured(new Map());
  say(JSON.stringify(server.facts));
  const names = cases.filter(({ on }) => on === "postgres").map(({ name }) => name);
  return server.withDatabases(names.length, async (urls) =>
    measured(new Map(names.map((name, n) => [name, urls[n] ?? ""]))),
  );
}

/** Writes what a full run has measured to `results/`. */
function keep(text: string): void {
  const date = new Date().toISOString().slice(0, 10);
  const path = fileURLToPath(new URL(`../results/pool-${date}.json`, import.meta.url));
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  say(`written: ${path}`);
}

function say(text: string): void {
  stderr.write(`${text}\n`);
}
