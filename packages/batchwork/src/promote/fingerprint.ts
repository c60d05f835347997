/** What a storage holds, in one number: the same rows give the same one, in whatever order. */
import { createHash } from "node:crypto";

import type { PromotionPart, PromotionReport, PromotionRows } from "../storage/promotion.ts";

/** Every field of every part, in the order in which it is hashed. */
const FIELDS: { readonly [P in PromotionPart]: readonly (keyof PromotionRows[P] & string)[] } = {
  queues: ["name", "paused", "notify"],
  payloads: ["chunk", "count", "live", "data"],
  waiting: ["chunk", "queue", "group", "from", "count", "bytes", "dueInMs"],
  batches: [
    "id",
    "queue",
    "group",
    "token",
    "settled",
    "attempt",
    "runInMs",
    "count",
    "bytes",
    "reason",
    "parent",
    "root",
    "firstChunk",
    "suspect",
    "crashes",
    "sealedAt",
    "error",
    "members",
  ],
  letters: [
    "id",
    "queue",
    "group",
    "item",
    "itemId",
    "error",
    "attempts",
    "crashes",
    "batch",
    "root",
    "diedAt",
    "noticeInMs",
  ],
  keys: ["queue", "key", "chunk", "index", "digest", "ttlMs", "expiresInMs"],
  pools: ["queue", "callbacks", "resultTtlMs", "parallelism"],
  slices: [
    "queue",
    "group",
    "chunk",
    "from",
    "count",
    "indices",
    "attempt",
    "runInMs",
    "company",
    "crashes",
  ],
  tasks: [
    "queue",
    "chunk",
    "from",
    "ended",
    "indices",
    "kind",
    "data",
    "error",
    "endedAt",
    "expiresInMs",
  ],
  results: ["queue", "chunk", "index", "kind", "value", "error", "endedAt", "expiresInMs"],
};

/** All parts, in an order in which they can be written. */
export const PARTS = Object.keys(FIELDS) as PromotionPart[];

/** Sums are taken of the first 128 bits of each hash. */
const HASH_BYTES = 16;

/**
 * Counts and hashes rows. A sum does not depend on the order, and unlike `xor` it tells a row that
 * is there twice from one that is not there. An item's id is its chunk and its place in it, so the
 * rows of payloads, waiting items and batches say which item is where, and what it is.
 */
export class Fingerprint {
  #sum = 0n;
  readonly #rows: Record<PromotionPart, number> = {
    queues: 0,
    payloads: 0,
    waiting: 0,
    batches: 0,
    letters: 0,
    keys: 0,
    pools: 0,
    slices: 0,
    tasks: 0,
    results: 0,
  };
  #live = 0;
  #placed = 0;

  add<P extends PromotionPart>(part: P, row: PromotionRows[P]): void {
    const fields: readonly (keyof PromotionRows[P])[] = FIELDS[part];
    const text = JSON.stringify([part, ...fields.map((field) => row[field])]);
    const digest = createHash("sha256").update(text).digest("hex");
    this.#sum = BigInt.asUintN(
      8 * HASH_BYTES,
      this.#sum + BigInt(`0x${digest.slice(0, 2 * HASH_BYTES)}`),
    );
    this.#rows[part]++;
    if ("live" in row) this.#live += row.live;
    else if ("count" in row) this.#placed += row.count;
  }

  /** True when each item that is neither done nor dead waits, or is in a batch. */
  get isWhole(): boolean {
    return this.#live === this.#placed;
  }

  get report(): PromotionReport {
    const { queues, batches, letters, keys } = this.#rows;
    const hash = this.#sum.toString(16).padStart(2 * HASH_BYTES, "0");
    return { queues, items: this.#live, batches, dead: letters, keys, hash };
  }
}
