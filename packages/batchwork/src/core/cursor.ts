/** Where a walk through a table is: the key of the last row, as text that can be stored. */
import { BatchworkError } from "./errors.ts";

/** The value of one column of a key, as the database gave it. */
export type KeyValue = number | bigint | string | Uint8Array;

/** The version that is written. A cursor of a newer one is refused. */
const CURSOR_VERSION = 1;

/** What JSON has no exact word for. */
type Written = number | string | { readonly int: string } | { readonly hex: string };

interface WrittenCursor {
  readonly v: number;
  readonly key: readonly string[];
  readonly at: readonly Written[];
}

/** The key `values` of a row, by the names of its columns. Throws `CURSOR_INVALID` for a NULL. */
export function encodeCursor(columns: readonly string[], values: readonly unknown[]): string {
  const at = values.map((value, n) => written(columns[n] ?? "", value));
  return JSON.stringify({ v: CURSOR_VERSION, key: columns, at } satisfies WrittenCursor);
}

/**
 * The key that a cursor stands for. Throws `CURSOR_INVALID` for one that was written by a newer
 * version, or for a key of other columns: its values would be compared with the wrong ones.
 */
export function decodeCursor(columns: readonly string[], text: string): KeyValue[] {
  const cursor = parsed(text);
  if (cursor.v !== CURSOR_VERSION) {
    throw invalid(`it has version ${String(cursor.v)}: use the Batchwork that wrote it`, text);
  }
  const same =
    cursor.key.length === columns.length && cursor.key.every((name, n) => name === columns[n]);
  if (!same || cursor.at.length !== columns.length) {
    const [was, is] = [cursor.key, columns].map((names) => `(${names.join(", ")})`);
    throw invalid(`it belongs to the key ${was}, not ${is}: start a new job`, text);
  }
  return cursor.at.map(read);
}

/** A key as text that no other key has, whatever its columns hold. */
export function keyText(values: readonly unknown[]): string {
  const [first] = values;
  if (values.length === 1) return printed(first);
  return values
    .map((value) => {
      const text = printed(value);
      return `${text.length}:${text}`;
    })
    .join("");
}

/** Whole numbers are alike, however large they are and however the driver gave them. */
function printed(value: unknown): string {
  if (typeof value === "string") return `s${value}`;
  return value instanceof Uint8Array ? `x${hexOf(value)}` : `n${String(value)}`;
}

function written(column: string, value: unknown): Written {
  switch (typeof value) {
    case "string":
      return value;
    case "number":
      return Number.isFinite(value) ? value : { int: String(value) };
    case "bigint":
      return { int: String(value) };
    default:
      if (value instanceof Uint8Array) return { hex: hexOf(value) };
      throw invalid(
        `column ${column} of the key holds ${value === null ? "NULL" : `a ${typeof value}`}: ` +
          "a key is made of numbers, texts and bytes",
        value,
      );
  }
}

function read(value: Written): KeyValue {
  if (typeof value !== "object") return value;
  if ("hex" in value) return bytesOf(value.hex);
  return /^-?\d+$/v.test(value.int) ? BigInt(value.int) : Number(value.int);
}

function parsed(text: string): WrittenCursor {
  try {
    const cursor = JSON.parse(text) as WrittenCursor | null;
    if (Array.isArray(cursor?.key) && Array.isArray(cursor.at)) return cursor;
  } catch {
    // Said below, as for any other text that is no cursor.
  }
  throw invalid("it is no cursor of a table", text);
}

function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../gv) ?? [], (pair) => Number.parseInt(pair, 16));
}

function invalid(problem: string, value: unknown): BatchworkError {
  const message = `The cursor cannot be used: ${problem}.`;
  return new BatchworkError("CURSOR_INVALID", message, { field: "cursor", value });
}
