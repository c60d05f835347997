/** What a campaign inside one process was promised, and what became of it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

import type { Batch, BatchContext, BatchOptions, Batchwork } from "batchwork";
import type { ManualClock } from "batchwork/testing";

export interface Order {
  readonly uid: string;
  readonly text: string;
}

/** Figures of such a campaign. */
export interface LedgerVerdict {
  readonly rounds: number;
  /** Items whose `add` resolved. */
  readonly acknowledged: number;
  /** Calls that were refused. */
  readonly refused: number;
  readonly delivered: number;
  readonly deliveries: number;
  /** Acknowledged items without an effect. Must be 0. */
  readonly lost: number;
  /** Items with more than one effect. Must be 0. */
  readonly duplicates: number;
  /** Items that waited longer than they may. Must be 0. */
  readonly late: number;
  /** What is not over yet, dead letters included. Must be 0. */
  readonly unfinished: number;
  /** How often storage time ran back. Must be 0. */
  readonly ranBack: number;
  /** Must be "ok". */
  readonly integrity: string;
}

const TABLE = "CREATE TABLE effects (uid TEXT NOT NULL)";
const INSERT = "INSERT INTO effects VALUES (?)";
/** Longest wait for a batch to fill, ms. */
const MAX_WAIT_MS = 1000;
/** How long an item may wait where nothing stands in the way: a look at the storage more, ms. */
export const LATE_MS = MAX_WAIT_MS + 4000;

export interface LedgerOptions {
  /** True for handlers that do it wrong. */
  readonly canary: boolean;
  /** Items that wait longer than this are late, ms. */
  readonly lateMs: number;
}

/** One database file, what was added to it, and the effects in it. */
export class Ledger {
  readonly path: string;
  readonly clock: ManualClock;
  refused = 0;
  /** Not the engine's: what it sees is what is committed. */
  readonly #reader: DatabaseSync;
  readonly #folder: string;
  readonly #options: LedgerOptions;
  readonly #addedAt = new Map<string, number>();
  readonly #seen = new Set<string>();
  #late = 0;
  #deliveries = 0;
  #storageTime = 0;
  #ranBack = 0;
  #next = 0;

  constructor(clock: ManualClock, options: LedgerOptions) {
    this.clock = clock;
    this.#options = options;
    this.#folder = mkdtempSync(join(tmpdir(), "batchwork-chaos-"));
    this.path = join(this.#folder, "chaos.db");
    this.#reader = new DatabaseSync(this.path);
    this.#reader.exec("PRAGMA journal_mode = WAL");
    this.#reader.exec(TABLE);
  }

  /** The definition, whose handler takes `work` and then writes an effect for each item. */
  definition(work: () => Promise<void>): BatchOptions<Order> {
    return {
      name: "orders",
      maxSize: 500,
      maxWaitMs: MAX_WAIT_MS,
      retries: { max: 1000, strategy: "fixed", baseDelay: 200 },
      handler: async (ctx) => this.#handle(ctx, work),
    };
  }

  /** Adds some items in one call, and notes whether they were acknowledged. */
  async add(batch: Batch<Order>, count: number, text: string): Promise<boolean> {
    const orders = Array.from({ length: count }, () => ({ uid: `o${this.#next++}`, text }));
    try {
      await this.clock.run(batch.addBulk(orders));
    } catch {
      this.refused++;
      return false;
    }
    for (const { uid } of orders) this.#addedAt.set(uid, this.clock.monotonicMs());
    return true;
  }

  /** Stops an engine without waiting for its handlers. */
  async stop(bw: Batchwork): Promise<void> {
    const stopped = bw.stop({ graceMs: 0 });
    await this.clock.advance(0);
    await this.clock.run(stopped);
  }

  /** Looks whether storage time went on. */
  readTime(): void {
    const row = this.#reader.prepare("SELECT at FROM batchwork_clock").get();
    const at = Number(row?.["at"] ?? 0);
    if (at < this.#storageTime) this.#ranBack++;
    this.#storageTime = at;
  }

  async verdict(rounds: number, batch: Batch<Order>): Promise<LedgerVerdict> {
    const { waiting, retrying, leased, dead } = await this.clock.run(batch.status());
    const rows = this.#reader.prepare("SELECT uid, count(*) AS n FROM effects GROUP BY uid").all();
    const done = new Set(rows.map(({ uid }) => String(uid)));
    const check = this.#reader.prepare("PRAGMA integrity_check").get() ?? {};
    return {
      rounds,
      acknowledged: this.#addedAt.size,
      refused: this.refused,
      delivered: done.size,
      deliveries: this.#deliveries,
      lost: [...this.#addedAt.keys()].filter((uid) => !done.has(uid)).length,
      duplicates: rows.filter(({ n }) => Number(n) > 1).length,
      late: this.#late,
      unfinished: waiting + retrying + leased + dead,
      ranBack: this.#ranBack,
      integrity: String(Object.values(check)[0]),
    };
  }

  end(): void {
    this.#reader.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #handle(ctx: BatchContext<Order>, work: () => Promise<void>): Promise<void> {
    this.#deliveries++;
    for (const { uid } of ctx.batch) this.#noteDelay(uid);
    if (this.#options.canary) {
      // The mistake that `ctx.tx` prevents: effects first, and apart from the acknowledgement.
      const insert = this.#reader.prepare(INSERT);
      for (const { uid } of ctx.batch) insert.run(uid);
      await work();
      return;
    }
    await work();
    await ctx.tx((tx) => {
      const insert = tx.prepare(INSERT);
      for (const { uid } of ctx.batch) insert.run(uid);
    });
  }

  #noteDelay(uid: string): void {
    if (this.#seen.has(uid)) return;
    this.#seen.add(uid);
    const addedAt = this.#addedAt.get(uid) ?? Number.POSITIVE_INFINITY;
    if (this.clock.monotonicMs() - addedAt > this.#options.lateMs) this.#late++;
  }
}

/** True when everything that was promised holds, and something was delivered at all. */
export function isKept(verdict: LedgerVerdict): boolean {
  const { lost, duplicates, late, unfinished, ranBack, integrity, delivered } = verdict;
  return (
    lost + duplicates + late + unfinished + ranBack === 0 && integrity === "ok" && delivered > 0
  );
}
