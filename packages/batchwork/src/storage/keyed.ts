/**
 * The part of the storage port that stores an item once per idempotency key.
 *
 * A key belongs to one queue. It is held from the append that stores its item until `keyTtlMs`
 * after that item ended, in storage time: was done, or was discarded as a dead letter. A retry, a
 * split, a crash and death do not end an item. A redrive gives it a new id, and the key stays with
 * it. While a key is held, its item is stored no second time. Keys that are held no longer are
 * deleted in bounded steps, by `reap` and by later keyed appends.
 *
 * Appends without keys, and batches of which no item has one, do without any of this.
 */
import type { KeyedAnswer, KeyedAppend } from "../core/keyed.ts";

export interface KeyedIntake {
  /**
   * Appends what is not there already: the answers are call by call. Each call is stored as a whole
   * or not at all; its items that are duplicates answer with the place of the item that holds the
   * key. Durable when it resolves, all calls at once. Of the same key, in however many processes,
   * exactly one append wins.
   *
   * Waits for nobody's open transaction: a call that would have to is answered with `"busy"`. After
   * a failure the caller tries again with the same keys: what was stored is a duplicate then.
   */
  appendKeyed(append: KeyedAppend): Promise<KeyedAnswer[]>;

  /**
   * The same inside a transaction that the caller holds open, as `appendInside`. The keys are held
   * if and only if it commits. Never answers `"busy"`.
   */
  appendKeyedInside(tx: unknown, append: KeyedAppend): KeyedAnswer[];

  /**
   * The same as `appendWithin` is. Waits for other open transactions that used one of the keys, as
   * any unique index makes a transaction wait.
   */
  appendKeyedWithin(tx: unknown, append: KeyedAppend): Promise<KeyedAnswer[]>;
}
