/** The report as tables for people. */
import Table from "cli-table3";
import { LAYOUT, number, ratiosTable } from "../harness/table.ts";
import type { ConvexReport } from "./report.ts";
import type { Cost } from "./scenario.ts";

const COLUMNS: readonly (readonly [string, (cost: Cost) => number])[] = [
  ["items", ({ items }) => items],
  ["executions", ({ executions }) => executions],
  ["queries", ({ queries }) => queries],
  ["mutations", ({ mutations }) => mutations],
  ["actions", ({ actions }) => actions],
  ["transactions", ({ transactions }) => transactions],
  ["docs read", ({ documentsRead }) => documentsRead],
  ["docs written", ({ documentsWritten }) => documentsWritten],
  ["KB read", ({ bytesRead }) => bytesRead / 1000],
  ["KB written", ({ bytesWritten }) => bytesWritten / 1000],
  ["virtual s", ({ lastMs }) => lastMs / 1000],
];

export function convexTables(report: ConvexReport): string {
  const { rows, peers, ratios, absolute, targets } = report;
  const table = new Table({
    head: ["row", ...COLUMNS.map(([title]) => title)],
    colAligns: ["left", ...COLUMNS.map(() => "right" as const)],
    ...LAYOUT,
  });
  const add = (name: string, cost: Cost): void => {
    table.push([name, ...COLUMNS.map(([, of]) => number(of(cost)))]);
  };
  for (const [name, cost] of Object.entries(rows)) add(name, cost);
  for (const [name, cost] of Object.entries(peers.rows)) add(`peer: ${name}`, cost);
  return [
    table.toString(),
    ratiosTable({ ratios, targets }),
    ratiosTable({ ratios: absolute, targets }),
    JSON.stringify(peers.versions),
    "",
  ].join("\n");
}
