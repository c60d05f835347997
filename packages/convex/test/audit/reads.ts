/** What a transaction read, as the ranges that a conflict check looks at. */
import { CommitTsPlaceholder, compareValues, type Value } from "convex/values";

export type Row = Readonly<Record<string, Value | undefined>>;

/** A range of an index, up to where reading stopped. */
export interface RangeRead {
  readonly kind: "range";
  readonly table: string;
  readonly index: string;
  readonly bounds: readonly Bound[];
  /** The index's fields, in their order. */
  readonly fields: readonly string[];
  readonly isDescending: boolean;
  /** The last row that was read, when there may be more. */
  readonly until: Row | null;
}

export type Read = RangeRead | { readonly kind: "document"; table: string; id: string };

export interface Bound {
  readonly type: "Eq" | "Gt" | "Gte" | "Lt" | "Lte";
  readonly fieldPath: string;
  readonly value: Value | undefined;
}

/** A document as it was, and as a transaction left it; `null` where it did not exist. */
export interface Write {
  readonly table: string;
  readonly id: string;
  readonly before: Row | null;
  after: Row | null;
}

/** Later than every commit: what is written now commits after what is there. */
const LATEST = 2n ** 63n - 1n;

function settled(value: Value | undefined): Value | undefined {
  return (value as unknown) instanceof CommitTsPlaceholder ? LATEST : value;
}

function compare(a: Value | undefined, b: Value | undefined): number {
  return compareValues(settled(a), settled(b));
}

/** Whether the write would have changed what was read. */
export function touches(write: Write, read: Read): boolean {
  if (write.table !== read.table) return false;
  if (read.kind === "document") return write.id === read.id;
  return [write.before, write.after].some((row) => row !== null && isWithin(row, read));
}

function isWithin(row: Row, { bounds, fields, until, isDescending }: RangeRead): boolean {
  if (!bounds.every((bound) => isInBound(row, bound))) return false;
  if (until === null) return true;
  for (const field of fields) {
    const order = compare(row[field], until[field]);
    if (order !== 0) return isDescending ? order > 0 : order < 0;
  }
  return true;
}

function isInBound(row: Row, { type, fieldPath, value }: Bound): boolean {
  const order = compare(row[fieldPath], value);
  if (type === "Eq") return order === 0;
  if (type === "Gt" || type === "Gte") return type === "Gt" ? order > 0 : order >= 0;
  return type === "Lt" ? order < 0 : order <= 0;
}

/** The read in words. */
export function nameOfRead(read: Read): string {
  return read.kind === "document" ? `${read.table}[id]` : `${read.table}.${read.index}`;
}
