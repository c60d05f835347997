/** Moving away from a SQLite database: the lock, what is there, and the mark that stays behind. */
import type { Clock } from "../../core/clock.ts";
import { BatchworkError } from "../../core/errors.ts";
import type {
  LastIds,
  PromotionMark,
  PromotionPart,
  PromotionPlace,
  PromotionRows,
  PromotionSource,
} from "../promotion.ts";
import { Connection } from "./connection.ts";
import { isOfNode, mainFile, prepare, type SqliteHandle } from "./handle.ts";
import { isInMemory, openDatabase, type Opened, type SqliteSettings } from "./open.ts";
import { clearMark, finishMark, mark, readMark, type StoredMark } from "./moved.ts";
import { pagesOf, type PromotionView } from "./promote-rows.ts";
import { reap } from "./reap.ts";
import { storageError, type Transaction } from "./transaction.ts";

const IDS = "SELECT lower(hex(randomblob(16))) AS source, lower(hex(randomblob(16))) AS attempt";

const LAST = "SELECT seq FROM sqlite_sequence WHERE name = ?";

const HAS_SCHEMA =
  "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'batchwork_migrations'";

/** Opens a connection of its own and takes the write lock: nobody writes until it is over. */
export async function promotionSource(
  settings: SqliteSettings,
  clock: Clock,
): Promise<PromotionSource> {
  const path = await fileOf(settings);
  const { busyTimeoutMs } = settings;
  // The mark must not be lost in a power cut that the target survives.
  const own: SqliteSettings = { source: { path }, durability: "full", busyTimeoutMs };
  const opened = await openDatabase(own, clock, () => undefined);
  try {
    return await SqliteSource.begin(opened, clock);
  } catch (error) {
    opened.connection.close();
    throw storageError(error);
  }
}

/** The file behind the settings, which is there and holds the engine's tables. */
async function fileOf(settings: SqliteSettings): Promise<string> {
  if (isInMemory(settings)) throw unfit("it is in memory, and only a file can be moved");
  const { source } = settings;
  if ("database" in source && !isOfNode(source.database)) {
    throw unfit(
      "the handle is not of node:sqlite, which would not heed its locks: " +
        "stop what uses the handle, close it, and give sqlite({ path })",
    );
  }
  const path = "path" in source ? source.path : mainFile(source.database);
  try {
    const connection = await Connection.open(path, { readOnly: true });
    const found = prepare(connection.handle, HAS_SCHEMA).get();
    connection.close();
    if (found !== undefined) return path;
  } catch (error) {
    throw unfit("it cannot be read", error);
  }
  throw unfit("it has no tables of Batchwork");
}

function unfit(reason: string, cause?: unknown): BatchworkError {
  const message = `promote: there is nothing to move from this database: ${reason}.`;
  return new BatchworkError("OPTION_INVALID", message, { field: "from", cause });
}

class SqliteSource implements PromotionSource {
  readonly id: string;
  readonly found: PromotionMark | null;
  readonly last: LastIds;
  readonly #attempt: string;
  readonly #opened: Opened;
  readonly #clock: Clock;
  readonly #view: PromotionView;

  private constructor(opened: Opened, clock: Clock, now: number, found: StoredMark | null) {
    const { handle, statements: sql } = opened.connection;
    const made = prepare(handle, IDS).get() as { readonly source: string; attempt: string };
    this.id = found?.source ?? made.source;
    this.#attempt = made.attempt;
    this.found = found;
    this.last = lastIds(handle);
    this.#opened = opened;
    this.#clock = clock;
    this.#view = { handle, sql, now };
  }

  static async begin(opened: Opened, clock: Clock): Promise<SqliteSource> {
    const { connection, transactions } = opened;
    await transactions.alone(() => connection.begin("write"));
    const found = readMark(connection.handle);
    // Rolled back with everything else unless the promotion gets as far as a mark of its own.
    if (found !== null) clearMark(connection.handle);
    const now = transactions.time.within(connection.statements, (tx) => {
      // What was moved already stays as it is.
      if (found?.state !== "moved") requireNobody(tx);
      return tx.now;
    });
    return new SqliteSource(opened, clock, now, found);
  }

  pages<P extends PromotionPart>(part: P): Iterable<readonly PromotionRows[P][]> {
    return pagesOf(this.#view, part);
  }

  async markMoving(target: PromotionPlace): Promise<void> {
    const { connection } = this.#opened;
    mark(connection.handle, this.id, this.#attempt, target, this.#clock.wallMs());
    connection.commit();
  }

  async markMoved(target: PromotionPlace): Promise<void> {
    const { connection, transactions } = this.#opened;
    // What an earlier run left open is decided now, and the lock is not needed for that.
    connection.rollback();
    await transactions.exclusive("write", () => {
      const { handle } = connection;
      if (readMark(handle) === null) {
        mark(handle, this.id, this.#attempt, target, this.#clock.wallMs());
      }
      finishMark(handle, this.id);
    });
  }

  async unmark(): Promise<void> {
    const { connection, transactions } = this.#opened;
    await transactions.exclusive("write", () => {
      // Another run may have taken over by now.
      if (readMark(connection.handle)?.attempt === this.#attempt) clearMark(connection.handle);
    });
  }

  async close(): Promise<void> {
    const { connection } = this.#opened;
    connection.rollbackAfterError();
    connection.close();
  }
}

/** Takes back what dead processes held. Throws when one is alive. */
function requireNobody(tx: Transaction): void {
  // Nobody is given up here: whoever runs the batches next decides how many crashes are too many.
  const { nextInMs } = reap(tx, Number.POSITIVE_INFINITY);
  if (nextInMs === null) return;
  const message =
    "promote: a process still works on the database: stop every engine on it first. " +
    `A process that was killed counts until its lease ends, here in ${nextInMs} ms at the soonest.`;
  throw new BatchworkError("PROMOTE_SOURCE_BUSY", message, { field: "from", value: nextInMs });
}

function lastIds(handle: SqliteHandle): LastIds {
  const statement = prepare(handle, LAST);
  const last = (table: string): number => {
    const row = statement.get(table) as { readonly seq: number } | undefined;
    return row?.seq ?? 0;
  };
  return {
    chunk: last("batchwork_chunks"),
    batch: last("batchwork_batches"),
    letter: last("batchwork_dead"),
  };
}
