/** Processes on one PostgreSQL database, and everything that may come between. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { seededRandom } from "../../packages/batchwork/src/testing/random.ts";
import { sleep, systemClock } from "../../packages/batchwork/src/runtime/clock.ts";
import { Crew } from "../crew.ts";
import { leftBehind } from "../left-behind.ts";
import type { Place } from "../stores.ts";
import { isKept as isWorkKept, judge, type Verdict } from "../verdict.ts";
import { LEASE_MS } from "../work.ts";
import type { Cluster, Database } from "./cluster.ts";
import type { Fault, Scene } from "./faults.ts";
import { Proxy } from "../../packages/batchwork/test/postgres/proxy.ts";

export interface PostgresCampaignOptions {
  /** Several take turns. */
  readonly faults: readonly Fault[];
  readonly rounds: number;
  readonly seed: number;
  /** True to have the handlers do it wrong, to see that it is noticed. Default false. */
  readonly canary?: boolean;
}

export interface PostgresVerdict extends Verdict {
  readonly rounds: number;
  readonly seconds: number;
  /** Transactions and locks that somebody left behind on the server. Must be 0. */
  readonly leftOpen: number;
  /** How often something was done. */
  readonly counts: Readonly<Record<string, number>>;
  /** How long it took until all worked again after the server was back, ms, ascending. */
  readonly recoveries: readonly number[];
}

const PROCESSES = 3;
const SPARES = 2;
const BACKLOG_MAX = 500;
/** Attempts are used up by a storage that fails. */
const RETRIES = 8;
/** When it is over everything is done within so long, ms. */
const DRAIN_MS = 60_000;
/** Within so long the server has noticed who is gone, ms. */
const NOTICED_MS = 30_000;
const LOOK_MS = 20;
/** The server has been back for so long at most when all works again, ms. */
const RECOVERY_MS_MAX = 5000;

/** Runs a campaign in a database of its own. */
export async function postgresCampaign(
  cluster: Cluster,
  options: PostgresCampaignOptions,
): Promise<PostgresVerdict> {
  const { faults, rounds, seed, canary = false } = options;
  const directory = mkdtempSync(join(tmpdir(), "batchwork-chaos-"));
  const database = await cluster.database();
  const proxy = faults.some(({ needsProxy }) => needsProxy)
    ? await Proxy.open(cluster.port)
    : undefined;
  const replyTimeoutMs = Math.min(...faults.map((fault) => fault.replyTimeoutMs));
  const direct: Place = { kind: "postgres", url: database.url(cluster.port), replyTimeoutMs };
  const place: Place = { ...direct, url: database.url(proxy?.port ?? cluster.port) };
  const orders = { place, seed, canary, backlogMax: BACKLOG_MAX, retries: RETRIES };
  const crew = new Crew({ directory, processes: PROCESSES, spares: SPARES, orders });
  const tally = new Tally();
  const { admin } = cluster;
  const scene: Scene = {
    crew,
    processes: PROCESSES,
    random: seededRandom(seed),
    proxy,
    admin,
    database: database.name,
    crash: async () => cluster.crash(),
    start: async () => cluster.start(),
    worksAgain: async () => handled(database, await crew.probe()),
    count: (what) => tally.count(what),
    recovered: (ms) => tally.recovered(ms),
  };
  try {
    const startedAt = systemClock.monotonicMs();
    await crew.start();
    for (let n = 0; n < rounds; n++) await (faults[n % faults.length] as Fault).strike(scene);
    const seconds = (systemClock.monotonicMs() - startedAt) / 1000;
    await scene.worksAgain();
    await crew.finish(async () => drained(direct));
    const left = await leftBehind(direct);
    const leftOpen = await settledDown(database);
    const verdict = judge(crew.journals, await database.effects(), left, await database.check());
    return { ...verdict, rounds, seconds, leftOpen, ...tally.told() };
  } finally {
    crew.end();
    await proxy?.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** True when everything that was promised holds. */
export function isKept(verdict: PostgresVerdict): boolean {
  const slowest = verdict.recoveries.at(-1) ?? 0;
  return isWorkKept(verdict) && verdict.leftOpen === 0 && slowest <= RECOVERY_MS_MAX;
}

class Tally {
  readonly recoveries: number[] = [];
  readonly #counts = new Map<string, number>();

  count(what: string): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1);
  }

  recovered(ms: number): void {
    this.recoveries.push(ms);
  }

  told(): Pick<PostgresVerdict, "counts" | "recoveries"> {
    const counts = Object.fromEntries([...this.#counts].toSorted(([a], [b]) => a.localeCompare(b)));
    return { counts, recoveries: this.recoveries.toSorted((a, b) => a - b) };
  }
}

/** Waits until these items have their effects. */
async function handled(database: Database, uids: readonly string[]): Promise<void> {
  await within(DRAIN_MS, async () => (await database.missing(uids)) === 0);
}

async function drained(place: Place): Promise<void> {
  await within(DRAIN_MS, async () => {
    await sleep(systemClock, LEASE_MS / 4);
    const { unfinished, leased } = await leftBehind(place);
    return unfinished + leased === 0;
  });
}

/** What is still open when the server had the time to notice that all are gone. */
export async function settledDown(database: Database): Promise<number> {
  let open = 0;
  await within(NOTICED_MS, async () => (open = await database.open()) === 0);
  return open;
}

/** Asks until it is so, or the time is up. */
async function within(ms: number, isSo: () => Promise<boolean>): Promise<void> {
  const endAt = systemClock.monotonicMs() + ms;
  while (!(await isSo()) && systemClock.monotonicMs() < endAt) await sleep(systemClock, LOOK_MS);
}
