/** What is left when all is over, and whether it is what was promised. */
import { DatabaseSync } from "node:sqlite";

import { Batchwork } from "batchwork";
import { sqlite } from "batchwork/sqlite";
import { readJournals } from "./journal.ts";
import { commitTogether, define, EFFECTS_TABLE, ENGINE, SILENT } from "./work.ts";

export interface Verdict {
  readonly acknowledged: number;
  /** Items with an effect. */
  readonly delivered: number;
  /** Delivered or dead, but their `add` never heard of it. */
  readonly unacknowledged: number;
  readonly dead: number;
  readonly deliveries: number;
  readonly redelivered: number;
  /** Acknowledged items that are neither delivered nor dead. Must be 0. */
  readonly lost: number;
  /** Items with more than one effect, or an effect and a dead letter. Must be 0. */
  readonly duplicates: number;
  /** `addBulk` calls of which some items exist and some do not. Must be 0. */
  readonly torn: number;
  /** Leases that are still held, items and batches that still wait. Must be 0. */
  readonly leasesLeft: number;
  readonly unfinished: number;
  /** Answer of `PRAGMA integrity_check`. Must be "ok". */
  readonly integrity: string;
}

/** Compares what was promised with what is in the file. */
export async function judge(path: string, journals: readonly string[]): Promise<Verdict> {
  const { acknowledged, deliveries, redelivered } = readJournals(journals);
  const { leased, retrying, waiting, letters } = await leftBehind(path);
  const database = new DatabaseSync(path, { readOnly: true });
  const rows = database
    .prepare(`SELECT uid, count(*) AS times FROM ${EFFECTS_TABLE} GROUP BY uid`)
    .all();
  const check = database.prepare("PRAGMA integrity_check").get();
  database.close();
  const effects = new Map(rows.map(({ uid, times }) => [String(uid), Number(times)]));
  const dead = new Set(letters);
  const both = [...effects.keys()].filter((uid) => dead.has(uid)).length;
  const again = [...effects.values()].filter((times) => times > 1).length;
  const ended = new Set([...effects.keys(), ...dead]);
  return {
    acknowledged: acknowledged.size,
    delivered: effects.size,
    unacknowledged: ended.difference(acknowledged).size,
    dead: dead.size,
    deliveries,
    redelivered,
    lost: acknowledged.difference(ended).size,
    duplicates: both + again + (letters.length - dead.size),
    torn: tornCalls(ended),
    leasesLeft: leased,
    unfinished: waiting + retrying,
    integrity: String(Object.values(check ?? {})[0]),
  };
}

/** How many batches and items are left, for those who wait until there are none. */
export async function leftBehind(path: string): Promise<{
  readonly waiting: number;
  readonly leased: number;
  readonly retrying: number;
  /** The items of all dead letters. */
  readonly letters: readonly string[];
}> {
  const engine = new Batchwork({ storage: sqlite({ path }), logger: SILENT, ...ENGINE });
  const batch = define(engine, { begin: () => undefined, commit: commitTogether });
  const { waiting, leased, retrying } = await batch.status();
  const letters: string[] = [];
  for (let after = 0; ;) {
    const page = await batch.deadLetters.list({ after, limit: 1000 });
    letters.push(...page.map(({ item }) => item.uid));
    const last = page.at(-1);
    if (last === undefined) break;
    after = last.id;
  }
  await engine.stop();
  return { waiting, leased, retrying, letters };
}

/** Calls of which only a part of the items exists. */
function tornCalls(ended: ReadonlySet<string>): number {
  const calls = new Map<string, { count: number; seen: number }>();
  for (const uid of ended) {
    const [life, call, , count] = uid.split("-");
    const key = `${life}-${call}`;
    const known = calls.get(key);
    if (known === undefined) calls.set(key, { count: Number(count), seen: 1 });
    else known.seen++;
  }
  return [...calls.values()].filter(({ count, seen }) => seen !== count).length;
}

/** True when everything that was promised holds, and something was delivered at all. */
export function isKept(verdict: Verdict): boolean {
  const { lost, duplicates, torn, leasesLeft, unfinished, integrity, delivered } = verdict;
  const broken = lost + duplicates + torn + leasesLeft + unfinished;
  return broken === 0 && integrity === "ok" && delivered > 0;
}
