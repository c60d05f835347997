/**
 * The part of the storage port that leaves duplicates out.
 *
 * An item whose chunk was appended with keys holds its key in its group from then until it is
 * sealed. An item with a key that another item of its group holds is left out: it is no item of
 * any batch, counts towards nothing, and takes no place. The first one stays as it is; which that
 * is, the storage decides when it counts the chunks into their group, in the order of their ids
 * where they were counted together. Keys are let go of when their items are sealed, so items that
 * stay behind go on holding theirs. Retries, children of a split and redriven dead items hold none.
 *
 * The caller of `append` is not told which items were left out: that may not be known yet. They
 * have ids all the same, which nothing else gets.
 *
 * Chunks without keys do without any of this.
 */

/** What a chunk says of it. */
export interface Deduplicated {
  /** One key for each item, in order; well-formed text. */
  readonly dedupKeys?: readonly string[];
}
