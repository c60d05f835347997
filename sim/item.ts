/** The items that the simulated producers add. Each carries its own fate. */

/** One item. Its JSON text is unique, because `uid` is. */
export interface SimItem {
  readonly uid: number;
  readonly group: string;
  readonly fate: Fate;
  readonly pad: string;
  /** Where duplicates are left out: what makes it one. */
  readonly key?: string;
}

/** What `deduplicateBy` says of an item. */
export function keyOf({ key = "" }: SimItem): string {
  return key;
}

/**
 * - `fine`: succeeds. So does `last`, at once.
 * - `fails`: named with `ctx.fail` while the attempt is at most `until`.
 * - `throws`: the handler throws while the attempt is at most `until`, and names nobody.
 * - `kills`: takes the process down before the handler has written anything.
 * - `kills-in-tx`: takes it down inside its transaction.
 */
export type Fate =
  | { readonly kind: "fine" | "last" }
  | { readonly kind: "fails" | "throws"; readonly until: number }
  | { readonly kind: "kills" | "kills-in-tx" };
