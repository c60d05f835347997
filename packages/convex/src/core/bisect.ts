// Copied from packages/batchwork/src/core by codegen/core.ts. Edit it there.
/** Splitting a batch that throws without naming the bad items, until they stand alone. */

/** The two halves of a batch of `count` items, as positions; the first may be larger by 1. */
export function halves(count: number): [number[], number[]] {
  const middle = Math.ceil(count / 2);
  const first: number[] = [];
  const second: number[] = [];
  for (let position = 0; position < count; position++) {
    (position < middle ? first : second).push(position);
  }
  return [first, second];
}
