/** Three processes on one file; one after another is killed at a random moment and replaced. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

import { seededRandom } from "../packages/batchwork/src/testing/random.ts";
import { sleep, systemClock } from "../packages/batchwork/src/runtime/clock.ts";
import { Crew } from "./crew.ts";
import { judge, type Verdict } from "./verdict.ts";
import { EFFECTS_TABLE, LEASE_MS } from "./work.ts";
import { leftBehind } from "./left-behind.ts";

export interface CampaignOptions {
  readonly kills: number;
  readonly seed: number;
  /** True to have the handlers do it wrong, to see that it is noticed. Default false. */
  readonly canary?: boolean;
}

export interface CampaignResult extends Verdict {
  readonly kills: number;
  readonly killsPerMinute: number;
  readonly seconds: number;
}

const PROCESSES = 3;
const SPARES = 2;
/** Producers wait while more than this is unhandled. */
const BACKLOG_MAX = 3000;
/** How long a process works before it is killed, ms. */
const WORK_MS_MIN = 5;
const WORK_MS_MAX = 65;
/** When the killing is over everything is done within so long, ms. */
const DRAIN_MS = 60_000;

/** Runs a campaign in a directory of its own, which is removed when it is over. */
export async function campaign({
  kills,
  seed,
  canary = false,
}: CampaignOptions): Promise<CampaignResult> {
  const directory = mkdtempSync(join(tmpdir(), "batchwork-chaos-"));
  const path = join(directory, "chaos.db");
  const place = { kind: "sqlite", path } as const;
  const orders = { place, seed, canary, backlogMax: BACKLOG_MAX };
  const crew = new Crew({ directory, processes: PROCESSES, spares: SPARES, orders });
  try {
    prepare(path);
    const startedAt = systemClock.monotonicMs();
    await crew.start();
    const random = seededRandom(seed);
    for (let n = 0; n < kills; n++) await killOne(crew, PROCESSES, random);
    const seconds = (systemClock.monotonicMs() - startedAt) / 1000;
    await crew.finish(async () => drained(path));
    const verdict = judge(crew.journals, effectsIn(path), await leftBehind(place), check(path));
    return { ...verdict, kills, killsPerMinute: (kills / seconds) * 60, seconds };
  } finally {
    crew.end();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Kills a random process when it has worked for a random while, and replaces it. */
export async function killOne(crew: Crew, processes: number, random: () => number): Promise<void> {
  const place = Math.floor(random() * processes);
  const { since } = await crew.at(place);
  const workMs = WORK_MS_MIN + random() * (WORK_MS_MAX - WORK_MS_MIN);
  const left = since + workMs - systemClock.monotonicMs();
  // Whoever has worked longer than that already gets a part of it more.
  await sleep(systemClock, left > 0 ? left : random() * WORK_MS_MIN);
  await crew.replace(place);
}

/** Makes the file, with the table of the effects. */
export function prepare(path: string): void {
  const database = new DatabaseSync(path);
  database.exec("PRAGMA journal_mode = WAL");
  database.exec(`CREATE TABLE ${EFFECTS_TABLE} (uid TEXT NOT NULL, batch TEXT NOT NULL)`);
  database.close();
}

async function drained(path: string): Promise<void> {
  const endAt = systemClock.monotonicMs() + DRAIN_MS;
  for (;;) {
    await sleep(systemClock, LEASE_MS / 4);
    const { unfinished, leased } = await leftBehind({ kind: "sqlite", path });
    if (unfinished + leased === 0 || systemClock.monotonicMs() > endAt) break;
  }
}

export function effectsIn(path: string): { readonly uid: string; readonly batch: string }[] {
  const database = new DatabaseSync(path, { readOnly: true });
  const rows = database.prepare(`SELECT uid, batch FROM ${EFFECTS_TABLE}`).all();
  database.close();
  return rows.map(({ uid, batch }) => ({ uid: String(uid), batch: String(batch) }));
}

/** What SQLite says of its file. */
export function check(path: string): string {
  const database = new DatabaseSync(path, { readOnly: true });
  const row = database.prepare("PRAGMA integrity_check").get();
  database.close();
  return String(Object.values(row ?? {})[0]);
}
