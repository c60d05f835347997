/** Definitions that differ in little. */
import type { Batch, BatchOptions, Batchwork } from "../../../src/index.ts";

/** A batch that nothing but ten items or a flush hands over, unless `options` say otherwise. */
export function defining<T>(
  options: Partial<BatchOptions<T>> & Pick<BatchOptions<T>, "handler">,
): (bw: Batchwork) => Batch<T> {
  return (bw) => bw.batch<T>({ name: "b", maxSize: 10, maxWaitMs: 60_000, ...options });
}
