/** Indices of items in a chunk, ascending, as short as they can be told. */
import { compact, isRun, type Run } from "./members.ts";

/** A run, or a list where they do not follow one another. */
export type Indices = Run | readonly number[];

/** Indices as the columns of a row: `list` is `null` for a run. */
export interface PackedIndices {
  readonly from: number;
  readonly count: number;
  readonly list: readonly number[] | null;
}

/** These ascending indices, at least one, as columns. */
export function packIndices(indices: readonly number[]): PackedIndices {
  const items = compact(indices);
  if (isRun(items)) return { ...items, list: null };
  return { from: items[0] as number, count: items.length, list: items };
}

/** The indices of a run, one by one. */
export function indicesOf({ from, count }: Run): number[] {
  return Array.from({ length: count }, (_, n) => from + n);
}

/** Those of `indices` that are not in `gone`. */
export function withoutIndices(
  indices: readonly number[],
  gone: ReadonlySet<number>,
): readonly number[] {
  return gone.size === 0 ? indices : indices.filter((index) => !gone.has(index));
}
