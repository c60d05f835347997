/** A table of the user's, read page by page. */
import { decodeCursor, encodeCursor, keyText } from "../../../core/cursor.ts";
import { BatchworkError } from "../../../core/errors.ts";
import type {
  KeyRange,
  OpenTable,
  TableKeys,
  TableRow,
  TableRows,
  TableStorage,
} from "../../tables.ts";
import type { Database } from "../database.ts";
import { Facade } from "../tx.ts";
import { checkTable } from "./check.ts";
import { CHANGES, countText, cutText, keyName, pageText, type TableParts } from "./statements.ts";

/** `opened` throws while the storage is not open. */
export function postgresTables(opened: () => Database, schema: string): TableStorage {
  return {
    open: async (query) => {
      const parts = await checkTable(opened(), query);
      return new PostgresTable(opened, parts);
    },
    changes: async (tx) => {
      const facade = Facade.of(tx);
      if (facade === undefined) {
        throw new BatchworkError("TX_MISMATCH", "This is not the tx of a ctx.tx.", { field: "tx" });
      }
      const [row] = await opened().on(facade.client, CHANGES, [schema]);
      return Number(row?.["changes"]);
    },
  };
}

class PostgresTable implements OpenTable {
  readonly #opened: () => Database;
  readonly #parts: TableParts;
  /** Names of the key's columns as text. */
  readonly #keyNames: readonly string[];

  constructor(opened: () => Database, parts: TableParts) {
    this.#opened = opened;
    this.#parts = parts;
    this.#keyNames = parts.key.map((_name, place) => keyName(place));
  }

  async rows(range: KeyRange, limit: number): Promise<TableRows> {
    const read = await this.#page("rows", range, limit);
    const { columns } = this.#parts;
    const rows = read.map((row) => {
      const own: Record<string, unknown> = {};
      for (const name of columns) own[name] = row[name];
      return own;
    });
    return this.#read(read, rows);
  }

  async keys(range: KeyRange, limit: number): Promise<TableKeys> {
    return this.#read(await this.#page("keys", range, limit), []);
  }

  async count(): Promise<number> {
    const [row] = await this.#opened().read(countText(this.#parts), this.#given);
    return Number(row?.["count"]);
  }

  async cuts(ranges: number): Promise<string[]> {
    const size = Math.ceil((await this.count()) / ranges);
    if (size === 0) return [];
    const rows = await this.#opened().read(cutText(this.#parts), [...this.#given, size]);
    return rows.slice(0, ranges - 1).map((row) => this.#cursorOf(row));
  }

  get #given(): readonly unknown[] {
    return this.#parts.where?.values ?? [];
  }

  #page(what: "rows" | "keys", range: KeyRange, limit: number): Promise<readonly TableRow[]> {
    const { after, to } = range;
    const { key } = this.#parts;
    const text = pageText(this.#parts, what, { after: after !== null, to: to !== null });
    const ends = [after, to].flatMap((end) => (end === null ? [] : decodeCursor(key, end)));
    return this.#opened().read(text, [...this.#given, ...ends, limit]);
  }

  #read(read: readonly TableRow[], rows: readonly TableRow[]): TableRows {
    const last = read.at(-1);
    const names = this.#keyNames;
    return {
      rows,
      cursor: last === undefined ? null : this.#cursorOf(last),
      keys: () => read.map((row) => keyText(names.map((name) => row[name]))),
    };
  }

  #cursorOf(row: TableRow): string {
    return encodeCursor(
      this.#parts.key,
      this.#keyNames.map((name) => row[name]),
    );
  }
}
