/** `npm run bench -- loops [--quick] [--json] [--only NAME]…`; see ../README.md. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { stderr, stdout } from "node:process";
import { fileURLToPath } from "node:url";
import { describeMachine } from "../harness/machine.ts";
import { measure } from "../harness/measure.ts";
import { runCase } from "../harness/spawn.ts";
import { ratiosTable, rowsTable } from "../harness/table.ts";
import { caseNamed, CASES } from "./registry.ts";
import { report } from "./report.ts";

/** What the command line says. */
export interface LoopsArguments {
  readonly quick: boolean;
  readonly json: boolean;
  readonly only: readonly string[];
  /** On the disk that is measured. */
  readonly dir: string;
  readonly profile?: string | undefined;
}

const CHILD = fileURLToPath(new URL("child.ts", import.meta.url));

/** Runs the rows and prints them. Resolves to false when a row failed. */
export async function benchLoops(values: LoopsArguments): Promise<boolean> {
  const { quick, dir: root, only, profile } = values;
  const all = CASES.filter((row) => !(quick && row.fullOnly === true));
  const cases = only.length === 0 ? all : only.map(caseNamed);
  const rounds = quick ? 3 : 5;
  const machine = describeMachine(root);
  const startedAt = performance.now();
  const runs = await measure({
    cases,
    rounds,
    quick,
    root,
    run: async (row) => runCase({ ...row, script: CHILD }),
    progress: say,
    ...(profile === undefined ? {} : { profile }),
  });
  const measured = report(cases, runs);
  const seconds = Math.round((performance.now() - startedAt) / 1000);
  const mode = quick ? "quick" : "full";
  const text = `${JSON.stringify({ ...measured, machine, mode, rounds, seconds }, null, 2)}\n`;
  if (values.json) stdout.write(text);
  else {
    const tables = [rowsTable(cases, measured), ratiosTable(measured)];
    const facts = JSON.stringify({ wakeMs: measured.wakeMs, machine });
    stdout.write(`${tables.join("\n")}\n${facts}\n`);
  }
  if (!quick && only.length === 0) keep(text);
  return Object.values(measured.absolute).every((row) => !("failure" in row));
}

/** Writes what a full run has measured to `results/`. */
function keep(text: string): void {
  const date = new Date().toISOString().slice(0, 10);
  const path = fileURLToPath(new URL(`../results/loops-${date}.json`, import.meta.url));
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  say(`written: ${path}`);
}

function say(text: string): void {
  stderr.write(`${text}\n`);
}
