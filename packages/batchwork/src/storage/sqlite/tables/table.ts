/** A table of the user's, read page by page on the storage's own handle. */
import { decodeCursor, encodeCursor, keyText } from "../../../core/cursor.ts";
import type {
  KeyRange,
  OpenTable,
  TableKeys,
  TableRow,
  TableRows,
  TableStorage,
} from "../../tables.ts";
import type { Opened } from "../open.ts";
import { prepare, type SqliteHandle } from "../handle.ts";
import { checkTable } from "./check.ts";
import { CHANGES, countText, cutText, pageText, type TableParts } from "./statements.ts";

/** What is bound and read here: also numbers beyond 2^53, and bytes. */
interface AnyStatement {
  all(...values: readonly unknown[]): unknown[];
  setReadBigInts?(enabled: boolean): unknown;
  safeIntegers?(enabled: boolean): unknown;
}

/** Of both drivers, for a whole number that is no safe one. */
const OUT_OF_RANGE = "ERR_OUT_OF_RANGE";

/** `opened` throws while the storage is not open. */
export function sqliteTables(opened: () => Opened): TableStorage {
  return {
    open: async (query) => {
      const { connection, transactions } = opened();
      const parts = await transactions.alone(() => checkTable(connection.handle, query));
      return new SqliteTable(opened, parts);
    },
    changes: () => {
      const row = prepare(opened().connection.handle, CHANGES).get();
      return (row as { readonly changes: number }).changes;
    },
  };
}

class SqliteTable implements OpenTable {
  readonly #opened: () => Opened;
  readonly #parts: TableParts;
  /** Statements by their text, of one handle. */
  readonly #statements = new Map<string, AnyStatement>();
  #handle: SqliteHandle | undefined;

  constructor(opened: () => Opened, parts: TableParts) {
    this.#opened = opened;
    this.#parts = parts;
  }

  async rows(range: KeyRange, limit: number): Promise<TableRows> {
    const rows = await this.#page("rows", range, limit);
    return this.#read(rows);
  }

  async keys(range: KeyRange, limit: number): Promise<TableKeys> {
    return this.#read(await this.#page("keys", range, limit));
  }

  async count(): Promise<number> {
    const [row] = await this.#all(countText(this.#parts), this.#given);
    return Number(row?.["count"]);
  }

  async cuts(ranges: number): Promise<string[]> {
    const size = Math.ceil((await this.count()) / ranges);
    if (size === 0) return [];
    const rows = await this.#all(cutText(this.#parts), [...this.#given, size]);
    return rows.slice(0, ranges - 1).map((row) => this.#cursorOf(row));
  }

  get #given(): readonly unknown[] {
    return this.#parts.where?.values ?? [];
  }

  #page(what: "rows" | "keys", { after, to }: KeyRange, limit: number): Promise<TableRow[]> {
    const { key } = this.#parts;
    const text = pageText(this.#parts, what, { after: after !== null, to: to !== null });
    const ends = [after, to].flatMap((end) => (end === null ? [] : decodeCursor(key, end)));
    return this.#all(text, [...this.#given, ...ends, limit]);
  }

  async #all(text: string, values: readonly unknown[]): Promise<TableRow[]> {
    return this.#opened().transactions.alone(() => {
      const statement = this.#statement(text);
      try {
        const rows = statement.all(...values) as TableRow[];
        if (!this.#isRounded(rows[0]) && !this.#isRounded(rows.at(-1))) return rows;
      } catch (error) {
        if (!isOutOfRange(error)) throw error;
      }
      return readExactly(statement, values);
    });
  }

  #statement(text: string): AnyStatement {
    const { handle } = this.#opened().connection;
    if (this.#handle !== handle) this.#statements.clear();
    this.#handle = handle;
    let statement = this.#statements.get(text);
    if (statement === undefined) {
      statement = prepare(handle, text) as unknown as AnyStatement;
      this.#statements.set(text, statement);
    }
    return statement;
  }

  /** One driver throws at a number that a double does not hold, and the other rounds it. */
  #isRounded(row: TableRow | undefined): boolean {
    return this.#parts.key.some((name) => {
      const value = row?.[name];
      return Number.isInteger(value) && !Number.isSafeInteger(value);
    });
  }

  #read(rows: readonly TableRow[]): TableRows {
    const last = rows.at(-1);
    const { key } = this.#parts;
    return {
      rows,
      cursor: last === undefined ? null : this.#cursorOf(last),
      keys: () => rows.map((row) => keyText(key.map((name) => row[name]))),
    };
  }

  #cursorOf(row: TableRow): string {
    const { key } = this.#parts;
    return encodeCursor(
      key,
      key.map((name) => row[name]),
    );
  }
}

function isOutOfRange(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === OUT_OF_RANGE;
}

/** Numbers that a double does not hold are `bigint`; the others stay numbers. */
function readExactly(statement: AnyStatement, values: readonly unknown[]): TableRow[] {
  const exactly = (enabled: boolean): void => {
    statement.setReadBigInts?.(enabled);
    statement.safeIntegers?.(enabled);
  };
  exactly(true);
  try {
    return statement.all(...values).map((row) => {
      const entries = Object.entries(row as TableRow);
      return Object.fromEntries(entries.map(([name, value]) => [name, plain(value)]));
    });
  } finally {
    exactly(false);
  }
}

function plain(value: unknown): unknown {
  if (typeof value !== "bigint") return value;
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}
