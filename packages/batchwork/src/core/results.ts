/** What is kept of single items after they ended. */
import type { StoredError } from "./errors.ts";

/** How an item ended. */
export type ResultKind = "success" | "failed" | "canceled";

/** A result to keep, of an item that was submitted. */
export interface ItemResult {
  /** Id of the item. */
  readonly id: string;
  readonly kind: ResultKind;
  /** Encoded text of what it resulted in; `null` for none. */
  readonly value: string | null;
  /** Why there is no value. */
  readonly error: StoredError | null;
  /** For how long it is kept, ms; `Infinity` for ever. */
  readonly ttlMs: number;
}

/** Results that are kept in the transaction that carries out what they belong to. */
export interface WithResults {
  readonly results?: readonly ItemResult[];
}
