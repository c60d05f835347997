/** What is left when all is over, and whether it is what was promised. */
import { readJournals } from "./journal.ts";
import type { Left } from "./left-behind.ts";
import { followUid } from "./work.ts";

export interface Verdict {
  readonly acknowledged: number;
  /** Items with an effect. */
  readonly delivered: number;
  /** Delivered or dead, but their `add` never heard of it. */
  readonly unacknowledged: number;
  readonly dead: number;
  /** Of these, items that nothing was wrong with. */
  readonly deadThoughFine: number;
  readonly deliveries: number;
  readonly redelivered: number;
  /** Transactions of handlers that had lost their lease, and were refused. */
  readonly fenced: number;
  /** Acknowledged items that are neither delivered nor dead. Must be 0. */
  readonly lost: number;
  /** Items with more than one effect, or an effect and a dead letter. Must be 0. */
  readonly duplicates: number;
  /** `addBulk` calls of which some items exist and some do not. Must be 0. */
  readonly torn: number;
  /** Batches with effects but without the item added with them, or vice versa. Must be 0. */
  readonly astray: number;
  /** Leases that are still held, items and batches that still wait. Must be 0. */
  readonly leasesLeft: number;
  readonly unfinished: number;
  /** What a check of the database itself says. Must be "ok". */
  readonly integrity: string;
}

/** Compares what was promised with what is in the database. */
export function judge(
  journals: readonly string[],
  effects: readonly { readonly uid: string; readonly batch: string }[],
  left: Left,
  integrity: string,
): Verdict {
  const { acknowledged, ...told } = readJournals(journals);
  const all = Map.groupBy(effects, ({ uid }) => uid);
  const times = new Map([...all].filter(([uid]) => !isFollow(uid)));
  const dead = new Set(left.letters.map(({ uid }) => uid));
  const both = [...all.keys()].filter((uid) => dead.has(uid)).length;
  const again = [...all.values()].filter((rows) => rows.length > 1).length;
  const ended = new Set([...times.keys(), ...[...dead].filter((uid) => !isFollow(uid))]);
  return {
    acknowledged: acknowledged.size,
    delivered: times.size,
    unacknowledged: ended.difference(acknowledged).size,
    dead: dead.size,
    deadThoughFine: left.letters.filter(({ fate }) => fate !== "poison").length,
    ...told,
    lost: acknowledged.difference(ended).size,
    duplicates: both + again + (left.letters.length - dead.size),
    torn: tornCalls(ended),
    astray: astray(effects),
    leasesLeft: left.leased,
    unfinished: left.unfinished,
    integrity,
  };
}

function isFollow(uid: string): boolean {
  return uid.startsWith(followUid(""));
}

/** Probes are alone in their call, and nothing follows them. */
function isProbe(uid: string): boolean {
  return uid.includes("-p");
}

function astray(effects: readonly { readonly uid: string; readonly batch: string }[]): number {
  const expected = new Set<string>();
  const found = new Set<string>();
  for (const { uid, batch } of effects) {
    if (isFollow(uid)) found.add(uid);
    else if (!isProbe(uid)) expected.add(followUid(batch));
  }
  return expected.symmetricDifference(found).size;
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
  const { lost, duplicates, torn, astray: strays, leasesLeft, unfinished } = verdict;
  const broken = lost + duplicates + torn + strays + leasesLeft + unfinished;
  return broken === 0 && verdict.integrity === "ok" && verdict.delivered > 0;
}
