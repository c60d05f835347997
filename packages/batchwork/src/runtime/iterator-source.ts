/** Where an iterator's items come from: a table, anything that can be iterated over, a function. */
import { BatchworkError } from "../core/errors.ts";
import { resolveTableOptions } from "../core/table-options.ts";
import type { OpenTable, TableCondition, TableQuery } from "../storage/tables.ts";
import type { NextBatch, NextBatchRequest } from "./iterator-options.ts";

/** Options of {@link fromTable}. */
export interface TableOptions {
  /** Name of the table, in the database of the storage; `schema.table` for another schema's. */
  readonly table: string;
  /**
   * The column, or columns, of a unique index, in its order. Their values must never change: a row
   * whose key moves past the cursor is not seen, or seen twice.
   */
  readonly key: string | readonly string[];
  /** The columns to read, beside those of the key. Default: all. */
  readonly columns?: readonly string[];
  /**
   * Only rows for which this holds when their page is read: SQL, with values for its placeholders
   * (`?` on SQLite, `$1` … on PostgreSQL). Never put foreign text into the SQL itself.
   */
  readonly where?: string | TableCondition;
}

/** A table to walk through. */
export interface TableSource<T> {
  readonly kind: "table";
  readonly query: TableQuery;
  /** Only a type: what a row is. */
  readonly row?: T;
}

/** Items from anywhere. */
export interface IterableSource<T> {
  readonly kind: "iterable";
  readonly open: (position: number) => AsyncIterable<T> | Iterable<T>;
  readonly seekable: boolean;
}

export type IteratorSource<T> = TableSource<T> | IterableSource<T>;

/**
 * Rows of a table, in pages along a unique key: `WHERE key > last ORDER BY key LIMIT n`, so a page
 * costs the same however far the walk is. Needs a storage on the same database, SQLite or
 * PostgreSQL. `T` is what a row looks like; nothing checks it.
 *
 * @throws `OPTION_INVALID`; `start` of the iterator throws `TABLE_INVALID` when the table has no
 * such column, or no unique index over exactly the columns of the key
 */
export function fromTable<T = Record<string, unknown>>(options: TableOptions): TableSource<T> {
  const { table, key, columns } = resolveTableOptions(options);
  const { where } = options;
  const condition = typeof where === "string" ? { sql: where, values: [] } : (where ?? null);
  const query = {
    table,
    key: typeof key === "string" ? [key] : key,
    columns: columns ?? null,
    where: condition === null ? null : { sql: condition.sql, values: [...condition.values] },
  };
  return { kind: "table", query };
}

/**
 * Items of anything that can be iterated over: lines of a file, pages of an API. `open` is called
 * when a job begins and whenever it goes on in another process, and has to yield the same items in
 * the same order. Those that were processed are passed over, unless it is `seekable`.
 */
export function fromAsyncIterable<T>(
  open: (position: number) => AsyncIterable<T> | Iterable<T>,
  options: {
    /** True when `open` begins at the item with the number it is given. Default false. */
    readonly seekable?: boolean;
  } = {},
): IterableSource<T> {
  if (typeof open !== "function") {
    const message = "fromAsyncIterable: give a function that returns what to iterate over.";
    throw new BatchworkError("OPTION_INVALID", message, { field: "open", value: open });
  }
  return { kind: "iterable", open, seekable: options.seekable ?? false };
}

/** One page that was read. */
export interface Page {
  readonly items: readonly unknown[];
  /** Where it ends; as before when it holds nothing. */
  readonly cursor: string | null;
  /** True when there was nothing behind it. */
  readonly done: boolean;
  /** Of tables: a text for each key. */
  readonly keys: () => readonly string[];
}

/** From where to read, and how far. */
export interface PageRange {
  readonly jobId: string;
  readonly cursor: string | null;
  readonly to: string | null;
  readonly size: number;
}

/** Reads pages for one owner of a job, one after the other. */
export interface PageReader {
  next(range: PageRange): Promise<Page>;
  /** Gives back what it holds open. */
  end(): Promise<void>;
}

const none = (): readonly string[] => [];

/** Pages of a table. */
export function tableReader(table: OpenTable): PageReader {
  return {
    next: async ({ cursor: after, to, size }) => {
      const page = await table.rows({ after, to }, size);
      return {
        items: page.rows,
        cursor: page.cursor ?? after,
        done: page.rows.length < size,
        keys: page.keys,
      };
    },
    end: async () => undefined,
  };
}

type GetNextBatch = (request: NextBatchRequest) => NextBatch<unknown> | Promise<NextBatch<unknown>>;

/** Pages of a function of the user's. */
export function functionReader(getNextBatch: GetNextBatch): PageReader {
  return {
    next: async ({ jobId, cursor: before, size }) => {
      const asked = { jobId, cursor: before ?? undefined, batchSize: size };
      const { items, cursor, done } = await getNextBatch(asked);
      if (!Array.isArray(items)) throw unusable("items", items, "is no array");
      if (done) return { items, cursor: cursor ?? before, done: true, keys: none };
      if (typeof cursor !== "string") throw unusable("cursor", cursor, "is no text");
      // The same page would come again, for ever.
      if (cursor === before) throw unusable("cursor", cursor, "is the one it was given");
      return { items, cursor, done: false, keys: none };
    },
    end: async () => undefined,
  };
}

function unusable(field: string, value: unknown, problem: string): BatchworkError {
  const code = field === "cursor" ? "CURSOR_INVALID" : "OPTION_INVALID";
  const message = `getNextBatch must return { items, cursor, done }: ${field} ${problem}.`;
  return new BatchworkError(code, message, { field, value });
}

/** Pages of something that is iterated over. The cursor is how many items are behind it. */
export class IterableReader implements PageReader {
  readonly #source: IterableSource<unknown>;
  #iterator: AsyncIterator<unknown> | Iterator<unknown> | undefined;
  /** Items that were read and may be asked for again, from `#position` on. */
  #held: unknown[] = [];
  #position = 0;
  #ended = false;

  constructor(source: IterableSource<unknown>) {
    this.#source = source;
  }

  async next({ cursor, size }: PageRange): Promise<Page> {
    const position = cursor === null ? 0 : Number(cursor);
    const left = this.#held.length - (position - this.#position);
    if (this.#iterator === undefined || position < this.#position || left < 0) {
      await this.#open(position);
    } else {
      this.#held.splice(0, position - this.#position);
      this.#position = position;
    }
    // One more than asked for tells whether there is more.
    while (!this.#ended && this.#held.length <= size) await this.#read();
    const items = this.#held.slice(0, size);
    const done = this.#held.length <= size;
    return { items, cursor: String(position + items.length), done, keys: none };
  }

  async end(): Promise<void> {
    const iterator = this.#iterator;
    this.#iterator = undefined;
    if (!this.#ended) await iterator?.return?.();
  }

  async #open(position: number): Promise<void> {
    await this.end();
    const { open, seekable } = this.#source;
    const opened = open(position);
    this.#iterator =
      Symbol.asyncIterator in opened ? opened[Symbol.asyncIterator]() : opened[Symbol.iterator]();
    this.#ended = false;
    this.#held = [];
    this.#position = position;
    if (seekable) return;
    for (let passed = 0; passed < position && !this.#ended; passed++) {
      await this.#read();
      this.#held = [];
    }
  }

  async #read(): Promise<void> {
    const read: IteratorResult<unknown> = await (this.#iterator as AsyncIterator<unknown>).next();
    if (read.done === true) this.#ended = true;
    else this.#held.push(read.value);
  }
}
