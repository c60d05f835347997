/** The database may not grow any more, again and again, in the middle of everything. */
import { DatabaseSync } from "node:sqlite";

import { Batchwork } from "batchwork";
import { sqlite } from "batchwork/sqlite";
import { drain, ManualClock, seededRandom } from "batchwork/testing";

import { Ledger, type LedgerVerdict } from "./ledger.ts";
import { SILENT } from "./silent.ts";

export interface DiskFullOptions {
  readonly rounds: number;
  readonly seed: number;
}

export interface DiskFullVerdict extends LedgerVerdict {
  /** Questions about the state that were answered although nothing could be written. */
  readonly answeredWhileFull: number;
}

/** SQLite's own limit. */
const PAGES_MAX = 4_294_967_294;
/** Room that is left when the disk begins to fill up, pages. */
const ROOM_PAGES_MAX = 12;
const ITEMS_MAX = 40;
const TEXT = "x".repeat(600);
/** Calls in a row that are refused before there is room again. */
const REFUSED = 4;
/** Calls that fit in at most before the database must be full. */
const CALLS_MAX = 2000;
/** How long it stays full, ms of simulated time. */
const FULL_MS_MAX = 40_000;

/** `max_page_count` stands in for the disk: SQLite then fails with SQLITE_FULL, at any write. */
export async function diskFullCampaign(options: DiskFullOptions): Promise<DiskFullVerdict> {
  const { rounds, seed } = options;
  const random = seededRandom(seed);
  const clock = new ManualClock({ seed });
  const ledger = new Ledger(clock, { canary: false, lateMs: Number.POSITIVE_INFINITY });
  const database = new DatabaseSync(ledger.path);
  const bw = new Batchwork({ storage: sqlite({ database }), clock, logger: SILENT });
  const batch = bw.batch(ledger.definition(async () => undefined));
  let answeredWhileFull = 0;
  try {
    await clock.run(bw.start());
    for (let round = 0; round < rounds; round++) {
      limit(database, pageCount(database) + Math.floor(random() * ROOM_PAGES_MAX));
      let refused = 0;
      for (let call = 0; call < CALLS_MAX && refused < REFUSED; call++) {
        const count = 1 + Math.floor(random() * ITEMS_MAX);
        if (!(await ledger.add(batch, count, TEXT))) refused++;
        // Now and then what waits becomes due, and claims and settlements meet the full disk.
        if (random() < 0.05) await clock.advance(random() * 1500);
      }
      if (refused < REFUSED) throw new Error("The database did not fill up.");
      await clock.advance(random() * FULL_MS_MAX);
      await clock.run(batch.status());
      answeredWhileFull++;
      limit(database, PAGES_MAX);
      await drain(clock, batch);
      ledger.readTime();
    }
    return { ...(await ledger.verdict(rounds, batch)), answeredWhileFull };
  } finally {
    limit(database, PAGES_MAX);
    await ledger.stop(bw);
    database.close();
    ledger.end();
  }
}

function pageCount(database: DatabaseSync): number {
  return Number(database.prepare("PRAGMA page_count").get()?.["page_count"]);
}

function limit(database: DatabaseSync, pages: number): void {
  database.exec(`PRAGMA max_page_count = ${pages}`);
}
