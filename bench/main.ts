/** `npm run bench -- batch|postgres|pool|convex [options]`; see README.md. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { stderr, stdout } from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { CASES, caseNamed } from "./cases/registry.ts";
import { describeMachine } from "./harness/machine.ts";
import { page } from "./harness/markdown.ts";
import { measure } from "./harness/measure.ts";
import { report } from "./harness/report.ts";
import { featuresTable, latencyTable, ratiosTable, rowsTable } from "./harness/table.ts";
import { benchConvex } from "./convex/main.ts";
import { benchLoops } from "./loops/main.ts";
import { CASES as LOOP_CASES } from "./loops/registry.ts";
import { benchPool } from "./pool/main.ts";
import { CASES as POOL_CASES } from "./pool/registry.ts";
import { benchPinned, benchPostgres } from "./postgres/main.ts";
import { CASES as POSTGRES_CASES } from "./postgres/registry.ts";

const USAGE = `npm run bench -- batch [options]
npm run bench -- postgres [options]
npm run bench -- postgres --pinned [--quick] [--json] [--dir PATH]
npm run bench -- pool [options]
npm run bench -- loops [options]
npm run bench -- convex [--json] [--peers]
  --quick          fewer items, 3 rounds instead of 5
  --json           one JSON object on stdout instead of tables
  --only NAME      only this row; may be given again
  --dir PATH       measure the disk that PATH is on
  --profile PATH   write CPU profiles of the rows there
  --peers          measure the peers again, instead of taking their committed figures
batch: ${CASES.map((row) => row.name).join(" ")}
postgres: ${POSTGRES_CASES.map((row) => row.name).join(" ")}
pool: ${POOL_CASES.map((row) => row.name).join(" ")}
loops: ${LOOP_CASES.map((row) => row.name).join(" ")}
`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    pinned: { type: "boolean", default: false },
    peers: { type: "boolean", default: false },
    only: { type: "string", multiple: true, default: [] },
    dir: { type: "string", default: here("../node_modules/.cache/batchwork-bench") },
    profile: { type: "string" },
  },
});

if (positionals.length === 1 && positionals[0] === "postgres") {
  const passed = await (values.pinned ? benchPinned(values) : benchPostgres(values));
  process.exit(passed ? 0 : 1);
}
if (positionals.length === 1 && positionals[0] === "pool") {
  process.exit((await benchPool(values)) ? 0 : 1);
}
if (positionals.length === 1 && positionals[0] === "loops") {
  process.exit((await benchLoops(values)) ? 0 : 1);
}
if (positionals.length === 1 && positionals[0] === "convex") {
  process.exit((await benchConvex(values)) ? 0 : 1);
}
if (positionals.length !== 1 || positionals[0] !== "batch") {
  stderr.write(USAGE);
  process.exit(2);
}

const all = CASES.filter((row) => !(values.quick && row.fullOnly === true));
const cases = values.only.length === 0 ? all : values.only.map(caseNamed);
const rounds = values.quick ? 3 : 5;
const machine = describeMachine(values.dir);
const startedAt = performance.now();
const runs = await measure({
  cases,
  rounds,
  quick: values.quick,
  root: values.dir,
  progress: (text) => {
    stderr.write(`${text}\n`);
  },
  ...(values.profile === undefined ? {} : { profile: values.profile }),
});
const measured = report(cases, runs);
const seconds = Math.round((performance.now() - startedAt) / 1000);
const mode = values.quick ? "quick" : "full";
const document = { ...measured, machine, mode, rounds, seconds };
const text = `${JSON.stringify(document, null, 2)}\n`;

if (values.json) {
  stdout.write(text);
} else {
  const tables = [
    rowsTable(cases, measured),
    latencyTable(measured),
    featuresTable(measured),
    ratiosTable(measured),
  ];
  stdout.write(`${tables.join("\n")}\n${JSON.stringify(machine)}\n`);
}
if (!values.quick && values.only.length === 0) {
  const date = new Date().toISOString().slice(0, 10);
  const files = {
    [here(`results/batch-${date}.json`)]: text,
    [here("../docs/benchmarks.md")]: page(cases, measured, machine, date),
  };
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
    stderr.write(`written: ${path}\n`);
  }
}
if (Object.values(measured.absolute).some((row) => "failure" in row)) process.exitCode = 1;

function here(path: string): string {
  return fileURLToPath(new URL(path, import.meta.url));
}
