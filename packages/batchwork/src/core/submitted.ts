/**
 * Items whose adder waits for their result. The wish travels with the item, wherever that goes:
 * as text it is wrapped as `{"\u0000result":[ttlMs, item]}`, still JSON; as a reference it is a
 * {@link SubmittedItem}. So items that nobody waits for carry nothing.
 */

import type { ItemResult } from "./results.ts";
import type { Dead } from "./settle.ts";

/** The only key of the object that wraps a submitted item. */
export const RESULT_KEY = "\u0000result";

/** How that object begins as text, which no other item's does. */
const PREFIX = `{${JSON.stringify(RESULT_KEY)}:[`;

/** A submitted item that is kept as the value itself. */
export class SubmittedItem {
  static #made = false;
  readonly item: unknown;
  readonly ttlMs: number;

  constructor(item: unknown, ttlMs: number) {
    this.item = item;
    this.ttlMs = ttlMs;
    SubmittedItem.#made = true;
  }

  /** False as long as there is none, so that nobody has to look for one among many items. */
  static get areThere(): boolean {
    return SubmittedItem.#made;
  }
}

/** The text of an item as one of which the result is kept for `ttlMs`. */
export function submittedText(text: string, ttlMs: number): string {
  // JSON says null for Infinity.
  return `${PREFIX}${JSON.stringify(ttlMs)},${text}]}`;
}

/** For how long the result of a stored item is kept, ms; `null` when nobody asked for it. */
export function resultTtlOf(item: unknown): number | null {
  if (item instanceof SubmittedItem) return item.ttlMs;
  if (typeof item !== "string" || !item.startsWith(PREFIX)) return null;
  const ttl = item.slice(PREFIX.length, item.indexOf(",", PREFIX.length));
  return ttlFrom(JSON.parse(ttl) as number | null);
}

/** The ttl as it is meant, from what is stored. */
export function ttlFrom(stored: number | null): number {
  return stored ?? Number.POSITIVE_INFINITY;
}

/** The results of those of these dead items that were submitted, by position. */
export function deathsToKeep(
  ids: readonly string[],
  items: readonly unknown[],
  dead: readonly Dead[],
): ItemResult[] {
  const results: ItemResult[] = [];
  for (const [n, { error }] of dead.entries()) {
    const ttlMs = resultTtlOf(items[n]);
    if (ttlMs === null) continue;
    results.push({ id: ids[n] as string, kind: "failed", value: null, error, ttlMs });
  }
  return results;
}
