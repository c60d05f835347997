/**
 * `npm run bench -- postgres --pinned`: two databases of one server under the same load, window by
 * window in turn. In one of them a transaction that does nothing holds its first snapshot open, so
 * that nothing deleted there since can be cleared away.
 */
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { item, type Item } from "../harness/items.ts";
import { median, rounded } from "../harness/statistics.ts";
import { openEngine, type Engine } from "./engine.ts";

export interface PinnedOptions {
  /** URLs of two empty databases. */
  readonly pinned: string;
  readonly free: string;
  /** Windows of each side; both sides have their first before either has its second. */
  readonly windows: number;
  readonly windowMs: number;
  /** How many of the last windows are compared. */
  readonly last: number;
  readonly progress: (text: string) => void;
}

export interface PinnedReport {
  /** Median of the last windows, pinned by free. */
  readonly pinnedVsFree: number;
  readonly windows: readonly PinnedWindow[];
  readonly windowSeconds: number;
  /** What each side's tables have come to. */
  readonly tables: Readonly<Record<"pinned" | "free", readonly TableSize[]>>;
}

/** Items per second of one window of each side. */
export interface PinnedWindow {
  /** For how long the snapshot has been held when the window ends. */
  readonly heldSeconds: number;
  readonly pinned: number;
  readonly free: number;
}

export interface TableSize {
  readonly table: string;
  readonly megabytes: number;
  readonly live: number;
  readonly dead: number;
}

const CALLERS = 4;
const PER_CALL = 500;
/** Adding waits while more items than this are on their way, so that it never runs ahead. */
const PENDING_MAX = 20_000;
const WARM_UP_MS = 2_000;

export async function pinned(options: PinnedOptions): Promise<PinnedReport> {
  const { windows: count, windowMs, last, progress } = options;
  const sides = { pinned: new Load(options.pinned), free: new Load(options.free) };
  const both = Object.values(sides);
  for (const side of both) {
    await side.start();
    await side.window(Math.min(WARM_UP_MS, windowMs));
  }
  const snapshot = await hold(options.pinned);
  const heldSince = performance.now();
  const windows: PinnedWindow[] = [];
  for (let n = 1; n <= count; n++) {
    const [held, without] = [
      await sides.pinned.window(windowMs),
      await sides.free.window(windowMs),
    ];
    const heldSeconds = Math.round((performance.now() - heldSince) / 1000);
    windows.push({ heldSeconds, pinned: rounded(held), free: rounded(without) });
    progress(`window ${n}/${count}  pinned ${perSecond(held)}  free ${perSecond(without)}`);
  }
  await snapshot.verify();
  const tables = {
    pinned: await tableSizes(options.pinned),
    free: await tableSizes(options.free),
  };
  await snapshot.end();
  for (const side of both) await side.stop();
  const tail = windows.slice(-last);
  const ratio = median(tail.map((w) => w.pinned)) / median(tail.map((w) => w.free));
  return { pinnedVsFree: rounded(ratio), windows, windowSeconds: windowMs / 1000, tables };
}

function perSecond(value: number): string {
  return `${Math.round(value).toLocaleString("en-US")} items/s`;
}

/** Adds and processes at once, as fast as it goes, in one database. */
class Load {
  readonly #opened: Engine;
  readonly #call: readonly Item[] = Array.from({ length: PER_CALL }, (_, id) => item(id));
  #added = 0;
  #handled = 0;
  /** Told after each batch that was handled. */
  #moved: (() => void)[] = [];

  constructor(database: string) {
    this.#opened = openEngine(database, (batch) => {
      this.#handled += batch.length;
      const moved = this.#moved;
      this.#moved = [];
      for (const tell of moved) tell();
    });
  }

  async start(): Promise<void> {
    await this.#opened.engine.start();
  }

  /** Items per second, from the first add until the last item that was added is handled. */
  async window(ms: number): Promise<number> {
    const before = this.#handled;
    const startedAt = performance.now();
    const caller = async (): Promise<void> => {
      while (performance.now() - startedAt < ms) {
        await this.#until(PENDING_MAX);
        this.#added += this.#call.length;
        await this.#opened.queue.addBulk(this.#call);
      }
    };
    await Promise.all(Array.from({ length: CALLERS }, caller));
    await this.#until(0);
    const took = performance.now() - startedAt;
    return ((this.#handled - before) / took) * 1000;
  }

  /** Throws when more was handled than was added, or something is left. */
  async stop(): Promise<void> {
    const { engine, queue } = this.#opened;
    await queue.drain();
    await engine.stop();
    if (this.#handled !== this.#added) {
      throw new Error(`${this.#added} items were added and ${this.#handled} were handled`);
    }
  }

  /** Resolves when at most `pending` items are on their way. */
  async #until(pending: number): Promise<void> {
    while (this.#added - this.#handled > pending) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#moved.push(resolve);
      await promise;
    }
  }
}

interface Snapshot {
  /** Throws unless the server still holds it. */
  readonly verify: () => Promise<void>;
  readonly end: () => Promise<void>;
}

/** Takes a snapshot, and leaves its transaction open. */
async function hold(database: string): Promise<Snapshot> {
  const client = new pg.Client({ connectionString: database });
  const watch = new pg.Client({ connectionString: database });
  await Promise.all([client.connect(), watch.connect()]);
  await client.query("BEGIN ISOLATION LEVEL REPEATABLE READ");
  const { rows } = await client.query<{ pid: number }>(
    "SELECT pg_backend_pid() AS pid FROM pg_class LIMIT 1",
  );
  return {
    verify: async () => {
      const { rowCount } = await watch.query(
        `SELECT 1 FROM pg_stat_activity
        WHERE pid = $1 AND state = 'idle in transaction' AND backend_xmin IS NOT NULL`,
        [rows[0]?.pid],
      );
      if (rowCount !== 1) throw new Error("the snapshot was not held to the end");
    },
    end: async () => {
      await client.query("COMMIT");
      await Promise.all([client.end(), watch.end()]);
    },
  };
}

/** How often the statistics are waited for that other connections have yet to report. */
const STATISTICS_MS = 1_500;

async function tableSizes(database: string): Promise<TableSize[]> {
  await sleep(STATISTICS_MS);
  const client = new pg.Client({ connectionString: database });
  await client.connect();
  const { rows } = await client.query<{ [key in keyof TableSize]: string }>(
    `SELECT relname AS table, pg_total_relation_size(relid) / 1e6 AS megabytes,
      n_live_tup AS live, n_dead_tup AS dead
    FROM pg_stat_user_tables ORDER BY pg_total_relation_size(relid) DESC LIMIT 12`,
  );
  await client.end();
  return rows.map(({ table, megabytes, live, dead }) => ({
    table,
    megabytes: rounded(Number(megabytes)),
    live: Number(live),
    dead: Number(dead),
  }));
}
