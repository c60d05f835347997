/** What was loaded, what was not, and whether the counts match the source. */
import Table from "cli-table3";
import type { BatchStatus, DeadLetter } from "batchwork";
import type { Loaded } from "./load.ts";
import { countries, source } from "./source.ts";
import type { City } from "./source.ts";

const TOP_COUNT = 8;
const countryNames = new Intl.DisplayNames("en", { type: "region" });

/** A number with thousands separators. */
export function count(value: number): string {
  return value.toLocaleString("en-US");
}

/** The countries with most cities, and the totals. */
export function printLoaded(loaded: Loaded): void {
  const { tally, before, seconds, letters } = loaded;
  const dead = deadPerCountry(letters);
  const table = new Table({
    head: ["Country", "In the source", "Loaded", "Dead letters"],
    colAligns: ["left", "right", "right", "right"],
    style: { head: [], border: [], compact: true },
  });
  const sorted = [...countries].toSorted((a, b) => b[1] - a[1]);
  const rows = sorted.map(([code, inSource]) => ({
    name: `${code}  ${countryNames.of(code) ?? ""}`,
    counts: [inSource, loaded.perCountry.get(code) ?? 0, dead.get(code) ?? 0],
  }));
  const rest = rows.slice(TOP_COUNT);
  table.push(
    ...rows.slice(0, TOP_COUNT).map(({ name, counts }) => [name, ...counts.map(count)]),
    [`${rest.length} other countries`, ...sum(rest).map(count)],
    ["Total", ...sum(rows).map(count)],
  );
  console.log(`\n${table.toString()}\n`);

  const numbers: [string, string][] = [
    ["batches", count(tally.batches)],
    ["retries", count(tally.retries)],
    ["batches split in two", count(tally.splits)],
    ["dead letters", count(letters.length)],
    ["seconds", seconds.toFixed(1)],
    ["cities a second", count(Math.round(tally.cities / seconds))],
  ];
  if (before > 0) {
    console.log(`Before the kill, ${count(before)} cities were loaded. Since the restart:\n`);
    numbers.unshift(
      ["loaded", count(tally.cities)],
      ["delivered a second time", count(tally.redelivered)],
    );
  }
  for (const [name, value] of numbers) console.log(`${name.padEnd(26)}${value.padStart(8)}`);
}

/** What a process that was killed left behind. */
export function printFound(before: number, found: BatchStatus, position: number): void {
  const inHand = found.running.reduce((total, { size }) => total + size, 0);
  const batches = `${found.running.length} batches that the killed process had in hand`;
  console.log(`In the database: ${count(before)} cities loaded, ${count(inHand)} in ${batches},`);
  console.log(`${count(found.waiting)} waiting. The producer goes on at ${count(position)}.\n`);
}

/** Each record that could not be stored, why, and what to do about it. */
export function printDeadLetters(letters: readonly DeadLetter<City>[]): void {
  console.log("\nDead letters, from cities.deadLetters.list():");
  for (const { id, item, error, attempts } of letters) {
    console.log(`  ${id}  ${item.name} (${item.country})`);
    console.log(`     after ${attempts} attempts: ${error.message}`);
  }
  console.log("To load it too, allow longer names in the table, then put it back:");
  console.log('  await cities.deadLetters.redrive("all"); await cities.resume();');
}

/** Compares with the source, country by country. True when every record is accounted for once. */
export function printMatch({ perCountry, distinct, letters }: Loaded): boolean {
  const dead = deadPerCountry(letters);
  const wrong = [...countries].filter(
    ([code, inSource]) => (perCountry.get(code) ?? 0) + (dead.get(code) ?? 0) !== inSource,
  );
  for (const [code, inSource] of wrong) {
    const got = `${perCountry.get(code) ?? 0} loaded, ${dead.get(code) ?? 0} dead`;
    console.log(`MISMATCH ${code}: ${inSource} in the source, ${got}`);
  }
  const rows = [...perCountry.values()].reduce((sum, n) => sum + n, 0);
  const matches =
    wrong.length === 0 && rows === distinct && rows + letters.length === source.length;
  const total = `${count(rows)} loaded + ${count(letters.length)} dead`;
  console.log(
    matches
      ? `\nOK: ${total} = ${count(source.length)} in the source; every country matches.`
      : `\nMISMATCH: ${total}, ${count(distinct)} distinct, ${count(source.length)} in the source.`,
  );
  return matches;
}

function deadPerCountry(letters: readonly DeadLetter<City>[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { item } of letters) counts.set(item.country, (counts.get(item.country) ?? 0) + 1);
  return counts;
}

function sum(rows: readonly { readonly counts: readonly number[] }[]): number[] {
  return [0, 1, 2].map((column) =>
    rows.reduce((total, row) => total + (row.counts[column] ?? 0), 0),
  );
}
