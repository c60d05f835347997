/** The report as a table for people. */
import Table from "cli-table3";
import { LAYOUT, number, tableOf, type Columns } from "../harness/table.ts";
import type { PinnedReport } from "./pinned.ts";
import type { PostgresCase } from "./registry.ts";
import type { PostgresReport, PostgresRow } from "./report.ts";

const COLUMNS: Columns<PostgresRow> = [
  ["items", (row) => row.items],
  ["items/s", (row) => row.itemsPerSecond],
  ["add/s", (row) => row.addPerSecond],
  ["process/s", (row) => row.processPerSecond],
  ["CPU µs/item", (row) => row.cpuMicrosPerItem],
  ["server CPU", (row) => row.serverCpuMicrosPerItem],
  ["WAL bytes/item", (row) => row.walBytesPerItem],
  ["commits/1k", (row) => row.commitsPer1000Items],
  ["round trips/1k", (row) => row.roundTripsPer1000Items],
  ["peak MB", (row) => row.peakRssMb],
  ["loop p99 ms", (row) => row.loopDelayP99Ms],
];

export function rowsTable(
  cases: readonly PostgresCase[],
  { absolute }: Pick<PostgresReport, "absolute">,
): string {
  return tableOf(cases, absolute, COLUMNS);
}

/** The windows, and what the tables of each side have come to. */
export function pinnedTable({ windows, tables }: PinnedReport): string {
  const table = new Table({
    head: ["held s", "pinned items/s", "free items/s", "ratio"],
    colAligns: ["right", "right", "right", "right"],
    ...LAYOUT,
  });
  for (const { heldSeconds, pinned, free } of windows) {
    table.push([heldSeconds, number(pinned), number(free), (pinned / free).toFixed(2)]);
  }
  const sizes = new Table({
    head: ["side", "table", "MB", "live rows", "dead rows"],
    colAligns: ["left", "left", "right", "right", "right"],
    ...LAYOUT,
  });
  for (const [side, list] of Object.entries(tables)) {
    for (const { table: name, megabytes, live, dead } of list) {
      sizes.push([side, name, ...[megabytes, live, dead].map(number)]);
    }
  }
  return `${table.toString()}\n${sizes.toString()}`;
}
