/** The report of a full run as the page `docs/benchmarks.md`. */
import type { BenchCase } from "./case.ts";
import type { Machine } from "./machine.ts";
import { number, target, verdict } from "./table.ts";
import type { Ratio, Report, Row } from "./report.ts";

const HEAD = `# Benchmarks

Written by \`npm run bench -- batch\`; what the rows and columns mean, and how they are measured, is in
[bench/README.md](../bench/README.md). Compare ratios, not absolute numbers: those belong to one machine.
`;

export function page(
  cases: readonly BenchCase[],
  report: Report,
  machine: Machine,
  date: string,
): string {
  const { cpu, cores, memoryGb, node, sqlite, fs, fdatasyncMs } = machine;
  return [
    HEAD,
    `Measured ${date} on ${cpu}, ${cores} cores, ${memoryGb} GB, ${fs} (fdatasync ${fdatasyncMs} ms),`,
    `Node ${node}, SQLite ${sqlite}.\n`,
    ...table(
      ["ratio", "measured", "target", "met"],
      Object.entries(report.targets).map(([name, goal]) => [
        name,
        number(report.ratios[name as Ratio]),
        target(goal),
        verdict(goal.met),
      ]),
    ),
    "",
    ...table(
      ["feature in use", "items/s, of those without"],
      Object.entries(report.features).map(([name, ratio]) => [name, number(ratio)]),
    ),
    "",
    ...table(
      ["row", "items/s", "add/s", "process/s", "CPU µs/item", "peak MB", "if the power fails"],
      cases.flatMap(({ name, title }) => {
        const row = report.absolute[name];
        return row === undefined ? [] : [[title, ...cells(row)]];
      }),
    ),
    "",
  ].join("\n");
}

function cells(row: Row | { readonly failure: string }): string[] {
  if ("failure" in row) return ["", "", "", "", "", `FAILED: ${row.failure}`];
  const { itemsPerSecond, addPerSecond, processPerSecond, cpuMicrosPerItem, peakRssMb } = row;
  const numbers = [itemsPerSecond, addPerSecond, processPerSecond, cpuMicrosPerItem, peakRssMb];
  return [...numbers.map(number), row.durability];
}

function table(head: readonly string[], lines: readonly (readonly string[])[]): string[] {
  const rule = head.map(() => "---");
  return [head, rule, ...lines].map((line) => `| ${line.join(" | ")} |`);
}
