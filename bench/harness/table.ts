/** The report as tables for people. */
import Table from "cli-table3";
import type { BenchCase } from "./case.ts";
import type { Report, Row, Target } from "./report.ts";

/** Ratios and what they have to be, under the same names. */
export interface Judged {
  readonly ratios: Readonly<Record<string, number | null>>;
  readonly targets: Readonly<Record<string, Target & { readonly met: boolean | null }>>;
}

export const LAYOUT = {
  style: { head: [], border: [] },
  chars: { mid: "", "left-mid": "", "mid-mid": "", "right-mid": "" },
};

/** What a column shows of a row, by its head. */
export type Columns<R> = readonly (readonly [head: string, value: (row: R) => number | null])[];

const COLUMNS: Columns<Row> = [
  ["items", (row) => row.items],
  ["items/s", (row) => row.itemsPerSecond],
  ["add/s", (row) => row.addPerSecond],
  ["process/s", (row) => row.processPerSecond],
  ["CPU µs/item", (row) => row.cpuMicrosPerItem],
  ["peak MB", (row) => row.peakRssMb],
  ["commits/1k", (row) => row.commitsPer1000Items],
  ["bytes/item", (row) => row.bytesWrittenPerItem],
  ["loop p99 ms", (row) => row.loopDelayP99Ms],
];

export function rowsTable(
  cases: readonly Pick<BenchCase, "name" | "title">[],
  { absolute }: Pick<Report, "absolute">,
): string {
  return tableOf(cases, absolute, COLUMNS);
}

/** A line for each case that was run. */
export function tableOf<R extends Pick<Row, "durability">>(
  cases: readonly Pick<BenchCase, "name" | "title">[],
  absolute: Readonly<Record<string, R | { readonly failure: string }>>,
  columns: Columns<R>,
): string {
  const table = new Table({
    head: ["row", ...columns.map(([head]) => head), "if the power fails"],
    colAligns: ["left", ...columns.map(() => "right" as const), "left"],
    ...LAYOUT,
  });
  for (const { name, title } of cases) {
    const row = absolute[name];
    if (row === undefined) continue;
    if ("failure" in row) {
      table.push([title, { colSpan: columns.length + 1, content: `FAILED: ${row.failure}` }]);
    } else {
      table.push([title, ...columns.map(([, value]) => number(value(row))), row.durability]);
    }
  }
  return table.toString();
}

export function latencyTable({ absolute }: Report): string {
  const row = absolute["add-latency"];
  if (row === undefined || "failure" in row || row.latencyMs === undefined) return "";
  const { add, addBulk100 } = row.latencyMs;
  const table = new Table({
    head: ["awaited call, ms", "p50 empty", "p50 loaded", "p99 empty", "p99 loaded"],
    colAligns: ["left", "right", "right", "right", "right"],
    ...LAYOUT,
  });
  for (const [name, pair] of [
    ["add", add],
    ["addBulk of 100", addBulk100],
  ] as const) {
    const { empty, loaded } = pair;
    table.push([name, ...[empty.p50, loaded.p50, empty.p99, loaded.p99].map(number)]);
  }
  return `\n${table.toString()}`;
}

/** What each feature costs; empty when none was measured. */
export function featuresTable({ features }: Pick<Report, "features">): string {
  const measured = Object.entries(features).filter(([, ratio]) => ratio !== null);
  if (measured.length === 0) return "";
  const table = new Table({
    head: ["feature", "items/s, of those without"],
    colAligns: ["left", "right"],
    ...LAYOUT,
  });
  for (const [name, ratio] of measured) table.push([name, number(ratio)]);
  return `\n${table.toString()}`;
}

export function ratiosTable({ ratios, targets }: Judged): string {
  const table = new Table({
    head: ["ratio", "measured", "target", "met"],
    colAligns: ["left", "right", "right", "left"],
    ...LAYOUT,
  });
  for (const [name, value] of Object.entries(ratios)) {
    const goal = targets[name];
    const judged = goal === undefined ? ["", ""] : [target(goal), verdict(goal.met)];
    table.push([name, number(value), ...judged]);
  }
  return table.toString();
}

export function target({ atLeast, atMost }: Target): string {
  return atLeast === undefined ? `≤ ${atMost}` : `≥ ${atLeast}`;
}

export function verdict(met: boolean | null): string {
  if (met === null) return "–";
  return met ? "yes" : "NO";
}

export function number(value: number | null): string {
  return value === null ? "–" : value.toLocaleString("en-US", { maximumFractionDigits: 2 });
}
