/** The rows of slices: which tasks they hold, and the texts of those. */
import { pickText, splitItems } from "../../core/codec.ts";
import { fitCount } from "../../core/flush.ts";
import { groupName } from "../../core/group-name.ts";
import { indicesOf, packIndices, type Indices } from "../../core/indices.ts";
import { nextToken, type Lease } from "../../core/lease.ts";
import { chunkText, textBytes, type ChunkText } from "./payloads.ts";
import type { Statements } from "./prepared.ts";

/** A row of `batchwork_slices`, without what only some look at. */
export interface SliceRow extends PackedRow {
  readonly id: number;
  readonly queue: number;
  readonly chunk: number;
  /** The serial key as it is stored. */
  readonly key: string;
  readonly priority: number;
  readonly state: "delayed" | "ready" | "suspect" | "leased";
  readonly run_at: number;
  readonly attempt: number;
  readonly token: number;
  readonly keyed: number;
  readonly company: number | null;
  readonly crashes: number;
}

/** Indices as rows have them. */
export interface PackedRow {
  readonly first: number;
  readonly count: number;
  readonly list: string | null;
}

/** The indices that a row holds, ascending. */
export function heldIndices({ first, count, list }: PackedRow): number[] {
  return list === null ? indicesOf({ from: first, count }) : (JSON.parse(list) as number[]);
}

/** The columns of a row that holds these indices. */
export function packed(indices: readonly number[]): PackedRow {
  const { from, count, list } = packIndices(indices);
  return { first: from, count, list: list === null ? null : JSON.stringify(list) };
}

/** A chunk that has tasks of a pool. */
interface TaskChunk extends ChunkText {
  readonly grp: string;
}

/** The texts of a chunk's tasks, read once. */
export class TaskTexts {
  /** The group of the chunk: the lane of its tasks. */
  readonly group: string;
  readonly #count: number;
  readonly #bytes: number;
  readonly #text: string;
  #split: readonly string[] | undefined;

  constructor(sql: Statements, chunk: number) {
    const row = sql.taskChunk.get(chunk) as TaskChunk;
    this.group = groupName(row.grp);
    this.#count = row.count;
    this.#bytes = row.bytes;
    this.#text = chunkText(sql, chunk, row.data);
  }

  /** The text of each of these tasks. */
  each(indices: readonly number[]): string[] {
    this.#split ??= splitItems(this.#text);
    return indices.map((index) => (this.#split as readonly string[])[index] as string);
  }

  /** The texts of these tasks, joined, and their bytes. */
  joined(items: Indices, count: number): { readonly text: string; readonly bytes: number } {
    const text = pickText(this.#text, items, this.#count);
    const bytes = count === this.#count ? this.#bytes : textBytes(text, count);
    return { text, bytes };
  }

  /** How many of these tasks, from the first on, have room; at least one where `empty`. */
  fit(indices: readonly number[], bytes: number, empty: boolean): number {
    if (this.#bytes <= bytes) return indices.length;
    const sizes = this.each(indices).map((text) => Buffer.byteLength(text));
    return fitCount(sizes, { items: indices.length, bytes }, empty);
  }
}

/** True when these are all the tasks of a row, in order. */
export function isAllOf(row: PackedRow, indices: readonly number[]): boolean {
  if (indices.length !== row.count) return false;
  if (row.list === null) {
    return indices.every((index, n) => index === row.first + n);
  }
  return row.list === JSON.stringify(indices);
}

/** Who gets a slice, and whether together with nothing else. */
interface Tenant {
  readonly owner: number;
  readonly alone: boolean;
}

/** Leases the first tasks of a slice; those that are left over stay behind in it. */
export function leaseFirst(
  sql: Statements,
  row: SliceRow,
  tasks: number,
  { owner, alone }: Tenant,
): Lease {
  const { id, token, count } = row;
  const flag = alone ? 1 : 0;
  if (tasks === count) {
    sql.leaseSlice.run(owner, flag, id);
    return { batch: id, token: nextToken(token) };
  }
  const all = heldIndices(row);
  const piece = { id, owner, alone: flag, ...packed(all.slice(0, tasks)) };
  const { lastInsertRowid } = sql.leasePiece.run({ ...piece });
  const rest = packed(all.slice(tasks));
  sql.shrinkSlice.run(rest.first, rest.count, rest.list, id);
  return { batch: Number(lastInsertRowid), token: nextToken(0) };
}
