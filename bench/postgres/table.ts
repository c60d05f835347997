/** The report as a table for people. */
import Table from "cli-table3";
import { LAYOUT, number } from "../harness/table.ts";
import type { PinnedReport } from "./pinned.ts";
import type { PostgresCase } from "./registry.ts";
import type { PostgresReport, PostgresRow } from "./report.ts";

export function rowsTable(
  cases: readonly PostgresCase[],
  { absolute }: Pick<PostgresReport, "absolute">,
): string {
  const table = new Table({
    head: [
      "row",
      "items",
      "items/s",
      "add/s",
      "process/s",
      "CPU µs/item",
      "server CPU",
      "WAL bytes/item",
      "commits/1k",
      "round trips/1k",
      "peak MB",
      "loop p99 ms",
      "if the power fails",
    ],
    colAligns: ["left", ...Array.from({ length: 11 }, () => "right" as const), "left"],
    ...LAYOUT,
  });
  for (const { name, title } of cases) {
    const row = absolute[name];
    if (row === undefined) continue;
    if ("failure" in row) {
      table.push([title, { colSpan: 12, content: `FAILED: ${row.failure}` }]);
    } else {
      table.push([title, ...cells(row), row.durability]);
    }
  }
  return table.toString();
}

function cells(row: PostgresRow): string[] {
  return [
    row.items,
    row.itemsPerSecond,
    row.addPerSecond,
    row.processPerSecond,
    row.cpuMicrosPerItem,
    row.serverCpuMicrosPerItem,
    row.walBytesPerItem,
    row.commitsPer1000Items,
    row.roundTripsPer1000Items,
    row.peakRssMb,
    row.loopDelayP99Ms,
  ].map(number);
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
