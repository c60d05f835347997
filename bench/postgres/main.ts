/** `npm run bench -- postgres [--quick] [--json] [--only NAME]…`; see README.md. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { stderr, stdout } from "node:process";
import { fileURLToPath } from "node:url";
import { describeMachine } from "../harness/machine.ts";
import { runnable, skippedText } from "../harness/runnable.ts";
import { ratiosTable } from "../harness/table.ts";
import { measureOn } from "./measure-on.ts";
import { CASES, caseNamed } from "./registry.ts";
import { pinned } from "./pinned.ts";
import { pinnedReport, report } from "./report.ts";
import { startBenchServer } from "./server.ts";
import { pinnedTable, rowsTable } from "./table.ts";

/** What the command line says. */
export interface PostgresArguments {
  readonly quick: boolean;
  readonly json: boolean;
  readonly only: readonly string[];
  /** On the disk that is measured. */
  readonly dir: string;
  readonly profile?: string | undefined;
}

/** Runs the rows and prints them. Resolves to false when a row failed. */
export async function benchPostgres(values: PostgresArguments): Promise<boolean> {
  const { quick, profile, dir: root } = values;
  const all = CASES.filter((row) => !(quick && row.fullOnly === true));
  const asked = values.only.length === 0 ? all : values.only.map(caseNamed);
  const { cases, skipped } = runnable(asked);
  const rounds = quick ? 3 : 5;
  const machine = describeMachine(root);
  const server = await startBenchServer(root);
  try {
    say(`${skippedText(skipped)}${JSON.stringify(server.facts)}`);
    const startedAt = performance.now();
    const runs = await measureOn(server.withDatabases, cases, {
      rounds,
      quick,
      root,
      progress: say,
      ...(profile === undefined ? {} : { profile }),
    });
    const measured = report(cases, runs);
    const seconds = Math.round((performance.now() - startedAt) / 1000);
    const mode = quick ? "quick" : "full";
    const known = { server: server.facts, machine, mode, rounds, seconds };
    const text = `${JSON.stringify({ ...measured, skipped, ...known }, null, 2)}\n`;
    const facts = [server.facts, machine].map((one) => JSON.stringify(one));
    if (values.json) stdout.write(text);
    else {
      const tables = [rowsTable(cases, measured), ratiosTable(measured)];
      stdout.write(`${[...tables, skippedText(skipped), ...facts].join("\n")}\n`);
    }
    if (!quick && values.only.length === 0) keep("postgres", text);
    return Object.values(measured.absolute).every((row) => !("failure" in row));
  } finally {
    await server.stop();
  }
}

const WINDOW_MS = 5_000;

/** Loads two databases in turn, one of them under an old snapshot, and prints both. */
export async function benchPinned(values: PostgresArguments): Promise<boolean> {
  const { quick, dir: root } = values;
  const machine = describeMachine(root);
  const server = await startBenchServer(root);
  try {
    say(JSON.stringify(server.facts));
    const measured = await server.withDatabases(2, async ([held = "", free = ""]) =>
      pinned({
        pinned: held,
        free,
        windows: quick ? 12 : 60,
        windowMs: WINDOW_MS,
        last: quick ? 4 : 12,
        progress: say,
      }),
    );
    const mode = quick ? "quick" : "full";
    const judged = pinnedReport(measured);
    const document = { ...judged, server: server.facts, machine, mode };
    const text = `${JSON.stringify(document, null, 2)}\n`;
    if (values.json) stdout.write(text);
    else {
      const facts = [server.facts, machine].map((known) => JSON.stringify(known));
      stdout.write(`${[pinnedTable(measured), ratiosTable(judged), ...facts].join("\n")}\n`);
    }
    if (!quick) keep("postgres-pinned", text);
    return true;
  } finally {
    await server.stop();
  }
}

/** Writes what a full run has measured to `results/`. */
function keep(name: string, text: string): void {
  const date = new Date().toISOString().slice(0, 10);
  const path = fileURLToPath(new URL(`../results/${name}-${date}.json`, import.meta.url));
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  say(`written: ${path}`);
}

function say(text: string): void {
  stderr.write(`${text}\n`);
}
